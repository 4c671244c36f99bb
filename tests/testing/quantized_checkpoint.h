// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_

#include <memory>
#include <string>

#include "core/checkpoint/tensor_file.h"
#include "core/quantize/weight_kind.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// `tensors` with its large matrices quantized, in the form of a checkpoint.
TestTensors Quantized(const TestTensors& tensors, WeightKind kind);

// The same model with its quantized matrices converted back to floats, as input
// of the reference. `original` provides their shapes.
TestTensors Dequantized(const TestTensors& quantized,
                        const TestTensors& original);

// Writes a safetensors file whose quantized weights are aligned to cache lines,
// as those of rwkv-convert are, and opens it.
std::shared_ptr<const TensorFile> MakeQuantizedFile(const TestTensors& tensors);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_QUANTIZED_CHECKPOINT_H_
