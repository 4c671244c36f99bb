// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_

// Small random checkpoints of version 4, and safetensors files of any tensors.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "core/base/dtype.h"
#include "core/checkpoint/tensor_file.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

struct Rwkv4Sizes {
  int64_t layers = 2;
  int64_t embedding = 32;
  int64_t attention = 32;
  int64_t ffn = 128;
  int64_t vocab = 64;
};

// An RWKV-4 model with random weights of the magnitudes of a trained model.
// `dtype` returns the type of a tensor by its name.
TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed,
                        absl::FunctionRef<DType(const std::string&)> dtype);
TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed,
                        DType dtype = DType::kF32);

// The bytes of a safetensors file. Adds `header_padding` spaces to the header,
// to misalign the tensors.
std::string SafetensorsBytes(const TestTensors& tensors,
                             int header_padding = 0);

// Writes `tensors` as `num_shards` files and an index, or as one file if
// `num_shards` is 0. Returns the path to open.
std::string WriteCheckpoint(const std::string& directory,
                            const TestTensors& tensors, int num_shards = 0,
                            int header_padding = 0);

// All tensors of a safetensors file, with their names in the file.
TestTensors ReadSafetensorsOrDie(const std::string& path);

// Writes a checkpoint and opens it.
std::shared_ptr<const TensorFile> MakeTensorFile(const TestTensors& tensors,
                                                 int num_shards = 0,
                                                 int header_padding = 0);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_
