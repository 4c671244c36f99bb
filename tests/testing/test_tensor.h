// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_TEST_TENSOR_H_
#define RWKVD_TESTS_TESTING_TEST_TENSOR_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd::testing {

// A row-major tensor to write to a file or to compute a reference with.
struct TestTensor {
  std::vector<int64_t> shape;
  DType dtype = DType::kF32;
  std::vector<float> values;  // exactly representable in `dtype`
};

using TestTensors = std::map<std::string, TestTensor>;

bool operator==(const TestTensor& a, const TestTensor& b);

// The nearest number of the given type.
float Rounded(float value, DType dtype);

// The same tensors with all values rounded to another type.
TestTensor Rounded(const TestTensor& tensor, DType dtype);
TestTensors Rounded(const TestTensors& tensors, DType dtype);

// The values as bytes of a file, little endian.
std::string BytesOf(const TestTensor& tensor);

// A copy of a tensor in a mapped file.
TestTensor CopyOf(const Tensor& tensor);

// The same values with another shape of the same number of elements.
TestTensor Reshaped(const TestTensor& tensor, std::vector<int64_t> shape);

// A copy with the last two dimensions exchanged.
TestTensor TransposedCopy(const TestTensor& tensor);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_TEST_TENSOR_H_
