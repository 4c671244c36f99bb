// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
#define RWKVD_TESTS_BENCH_RANDOM_MODEL_H_

#include <memory>
#include <string>

#include "core/base/dtype.h"
#include "core/checkpoint/tensor_file.h"
#include "tests/bench/random_shape.h"

namespace rwkvd::bench {

// Writes a checkpoint of that shape (see PlanTensors) with random weights as
// `path`, a tensor at a time, unless a file of the right size is there already.
void WriteRandomModel(const Shape& shape, double zeros, DType dtype,
                      const std::string& path);

// The same in the folder for temporary files; returns its path.
std::string RandomModelPath(const Shape& shape, double zeros, DType dtype);

// The same, opened.
std::shared_ptr<const TensorFile> OpenRandomModel(const Shape& shape,
                                                  double zeros, DType dtype);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
