// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
#define RWKVD_TESTS_BENCH_RANDOM_MODEL_H_

#include <string>

#include "absl/strings/string_view.h"
#include "core/base/dtype.h"
#include "tests/bench/random_shape.h"

namespace rwkvd::bench {

// Writes a checkpoint of that shape (see PlanTensors) with random weights as
// `path`, a tensor at a time, unless a file of the right size is there already.
void WriteRandomModel(const Shape& shape, double zeros, DType dtype,
                      const std::string& path);

// The same in the folder for temporary files; returns its path.
std::string RandomModelPath(const Shape& shape, double zeros, DType dtype);

inline constexpr absl::string_view kWeightNames[] = {
    "f32", "bf16", "f16", "int8", "int4", "int4-mixed"};
bool IsWeightName(absl::string_view name);

// The same with weights of one of these names; those of 8 and 4 bits are
// converted ahead of time from bf16.
std::string RandomModelPath(const Shape& shape, double zeros,
                            absl::string_view weights);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
