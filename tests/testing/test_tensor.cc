// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/test_tensor.h"

#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/base/float16.h"

namespace rwkvd::testing {

bool operator==(const TestTensor& a, const TestTensor& b) {
  return std::tie(a.shape, a.dtype, a.values) ==
         std::tie(b.shape, b.dtype, b.values);
}

float Rounded(float value, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return value;
    case DType::kBF16:
      return BF16ToFloat(FloatToBF16(value));
    case DType::kF16:
      return F16ToFloat(FloatToF16(value));
    case DType::kU8:
      return value;
    default:
      RWKVD_CHECK(false);  // test tensors have no block types
  }
}

TestTensor Rounded(const TestTensor& tensor, DType dtype) {
  TestTensor result{.shape = tensor.shape, .dtype = dtype};
  for (float value : tensor.values) {
    result.values.push_back(Rounded(value, dtype));
  }
  return result;
}

TestTensors Rounded(const TestTensors& tensors, DType dtype) {
  TestTensors result;
  for (const auto& [name, tensor] : tensors) {
    result.emplace(name, Rounded(tensor, dtype));
  }
  return result;
}

std::string BytesOf(const TestTensor& tensor) {
  std::string bytes;
  for (float value : tensor.values) {
    if (tensor.dtype == DType::kF32) {
      bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
      continue;
    }
    if (tensor.dtype == DType::kU8) {
      bytes += static_cast<char>(static_cast<uint8_t>(value));
      continue;
    }
    const uint16_t bits =
        tensor.dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
    bytes.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  }
  return bytes;
}

TestTensor CopyOf(const Tensor& tensor) {
  return {
      .shape = tensor.shape, .dtype = tensor.dtype, .values = ToFloat(tensor)};
}

TestTensor Reshaped(const TestTensor& tensor, std::vector<int64_t> shape) {
  int64_t size = 1;
  for (int64_t dimension : shape) size *= dimension;
  RWKVD_CHECK(size == static_cast<int64_t>(tensor.values.size()));
  TestTensor result = tensor;
  result.shape = std::move(shape);
  return result;
}

TestTensor TransposedCopy(const TestTensor& tensor) {
  RWKVD_CHECK(tensor.shape.size() >= 2);
  TestTensor result = tensor;
  std::swap(result.shape.back(), *(result.shape.end() - 2));
  const int64_t rows = *(tensor.shape.end() - 2), cols = tensor.shape.back();
  for (size_t i = 0; i < tensor.values.size(); ++i) {
    const int64_t matrix = i / (rows * cols), row = i / cols % rows,
                  col = i % cols;
    result.values[(matrix * cols + col) * rows + row] = tensor.values[i];
  }
  return result;
}

}  // namespace rwkvd::testing
