// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/float16.h"

namespace rwkvd {

int64_t Tensor::num_elements() const {
  return static_cast<int64_t>(data.size() / SizeOf(dtype));
}

std::string ShapeString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::vector<float> ToFloat(const Tensor& tensor) {
  std::vector<float> values(tensor.num_elements());
  if (tensor.dtype == DType::kF32) {
    if (!values.empty()) {
      std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    }
    return values;
  }
  const auto convert = tensor.dtype == DType::kBF16 ? BF16ToFloat : F16ToFloat;
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;  // copied: the data may be misaligned
    std::memcpy(&bits, tensor.data.data() + i * sizeof(bits), sizeof(bits));
    values[i] = convert(bits);
  }
  return values;
}

}  // namespace rwkvd
