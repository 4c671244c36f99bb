// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_

// Small random checkpoints, written by the tests themselves.

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

// An RWKV-4 network with random weights of a trained one's magnitudes. `dtype`
// gives the type of each tensor by name.
TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed,
                        absl::FunctionRef<DType(const std::string&)> dtype);
TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed,
                        DType dtype = DType::kF32);

// The bytes of a safetensors file. `header_padding` spaces end the header, so
// that tensors can be made to lie at odd addresses.
std::string SafetensorsBytes(const TestTensors& tensors,
                             int header_padding = 0);

// Writes `tensors` as `num_shards` files with an index, or as one without if
// num_shards is 0; returns what to open.
std::string WriteCheckpoint(const std::string& directory,
                            const TestTensors& tensors, int num_shards = 0,
                            int header_padding = 0);

// Every tensor of a safetensors file, under the names that it has there.
TestTensors ReadSafetensorsOrDie(const std::string& path);

// Writes and opens.
std::shared_ptr<const TensorFile> MakeTensorFile(const TestTensors& tensors,
                                                 int num_shards = 0,
                                                 int header_padding = 0);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_TINY_CHECKPOINT_H_
