// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
#define RWKVD_TESTS_BENCH_RANDOM_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/dtype.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd::bench {

// The sizes of an RWKV-4 network.
struct Shape {
  const char* name;
  int64_t layers;
  int64_t width;
  int64_t vocab;
};

inline constexpr Shape k169M = {"169M", 12, 768, 50277};
inline constexpr Shape k430M = {"430M", 24, 1024, 50277};

// Writes an RWKV-4 checkpoint of that shape with random weights as `path`, a
// tensor at a time, unless a file of the right size is there already.
void WriteRandomModel(const Shape& shape, DType dtype, const std::string& path);

// The same in the folder for temporary files, opened.
std::shared_ptr<const TensorFile> OpenRandomModel(const Shape& shape,
                                                  DType dtype);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_RANDOM_MODEL_H_
