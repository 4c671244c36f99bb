// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_

#include <memory>
#include <string>

#include "core/checkpoint/tensor_file.h"
#include "core/quantize/weight_kind.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// `tensors` with its large matrices quantized, as a checkpoint holds them.
TestTensors Quantized(const TestTensors& tensors, WeightKind kind);

// The same network with matrices of numbers again, those that the quantized
// ones stand for: what an oracle computes with. `original` tells their sizes.
TestTensors Dequantized(const TestTensors& quantized,
                        const TestTensors& original);

// Writes a safetensors file whose quants begin at a cache line, as those of
// rwkv-convert do, and opens it.
std::shared_ptr<const TensorFile> MakeQuantizedFile(const TestTensors& tensors);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_
