// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
#define RWKVD_TESTS_BENCH_RANDOM_MODEL_H_

#include <string>

#include "absl/strings/string_view.h"
#include "core/base/dtype.h"
#include "tests/bench/random_shape.h"

namespace rwkvd::bench {

// Writes a checkpoint of the given shape (see PlanTensors) with random weights
// to `path`, unless a file of the right size is already there.
void WriteRandomModel(const Shape& shape, double zeros, DType dtype,
                      const std::string& path);

// Writes such a checkpoint to the directory for temporary files, unless it is
// already there. Returns its path.
std::string RandomModelPath(const Shape& shape, double zeros, DType dtype);

inline constexpr absl::string_view kWeightNames[] = {
    "f32", "bf16", "f16", "int8", "int4", "int4-mixed"};
bool IsWeightName(absl::string_view name);

// As above, with the weight type given by one of kWeightNames. Weights of 8 and
// 4 bits are quantized from bf16.
std::string RandomModelPath(const Shape& shape, double zeros,
                            absl::string_view weights);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
