// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "core/base/float16.h"

namespace rwkvd {
namespace {

// The number of bytes from the first to the last element of a view.
size_t SpannedBytes(absl::Span<const int64_t> shape,
                    absl::Span<const int64_t> strides, DType dtype) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += (shape[i] - 1) * strides[i];
  }
  return (last + 1) * SizeOf(dtype);
}

// The offset, in elements, of the element with row-major number `index`.
int64_t Offset(absl::Span<const int64_t> shape,
               absl::Span<const int64_t> strides, int64_t index) {
  int64_t offset = 0;
  for (size_t i = shape.size(); i-- > 0; index /= shape[i]) {
    offset += index % shape[i] * strides[i];
  }
  return offset;
}

template <typename Bits, typename Convert>
void Widen(absl::Span<const std::byte> elements, Convert convert, float* dst) {
  for (size_t i = 0; i < elements.size() / sizeof(Bits); ++i) {
    Bits bits;
    std::memcpy(&bits, elements.data() + i * sizeof(bits), sizeof(bits));
    dst[i] = convert(bits);
  }
}

}  // namespace

int64_t Tensor::num_elements() const {
  int64_t elements = 1;
  for (int64_t dimension : shape) elements *= dimension;
  return elements;
}

int64_t Tensor::num_bytes() const {
  return num_elements() * static_cast<int64_t>(SizeOf(dtype));
}

bool Tensor::is_row_major() const {
  if (strides.empty()) return true;
  const std::vector<int64_t> expected = RowMajorStrides(shape);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] > 1 && strides[i] != expected[i]) return false;
  }
  return true;
}

std::vector<int64_t> Tensor::Strides() const {
  return strides.empty() ? RowMajorStrides(shape) : strides;
}

std::string ShapeString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

void ToFloat(DType dtype, absl::Span<const std::byte> elements, float* dst) {
  switch (dtype) {
    case DType::kF32:
      if (!elements.empty()) {
        std::memcpy(dst, elements.data(), elements.size());
      }
      return;
    case DType::kF16:
      return Widen<uint16_t>(elements, F16ToFloat, dst);
    case DType::kBF16:
      return Widen<uint16_t>(elements, BF16ToFloat, dst);
    case DType::kU8:
      return Widen<uint8_t>(
          elements, [](uint8_t byte) { return static_cast<float>(byte); }, dst);
  }
}

std::vector<float> ToFloat(const Tensor& tensor) {
  std::vector<float> values(tensor.num_elements());
  std::vector<std::byte> elements(tensor.num_bytes());
  CopyElements(tensor, 0, absl::MakeSpan(elements));
  ToFloat(tensor.dtype, elements, values.data());
  return values;
}

void CopyElements(const Tensor& tensor, int64_t first,
                  absl::Span<std::byte> dst) {
  const int64_t size = static_cast<int64_t>(SizeOf(tensor.dtype));
  const int64_t num = static_cast<int64_t>(dst.size()) / size;
  RWKVD_CHECK(first >= 0 && first + num <= tensor.num_elements());
  if (num == 0) return;
  if (tensor.is_row_major()) {
    std::memcpy(dst.data(), tensor.data.data() + first * size, num * size);
    return;
  }
  const std::vector<int64_t> strides = tensor.Strides();
  const int64_t row = tensor.shape.back();
  // Copies the elements of one row, along the last dimension, at a time.
  for (int64_t done = 0; done < num;) {
    const int64_t index = first + done;
    const int64_t run = std::min(num - done, row - index % row);
    const std::byte* src =
        tensor.data.data() + Offset(tensor.shape, strides, index) * size;
    std::byte* to = dst.data() + done * size;
    if (strides.back() == 1) {
      std::memcpy(to, src, run * size);
    } else {
      for (int64_t i = 0; i < run; ++i) {
        std::memcpy(to + i * size, src + i * strides.back() * size, size);
      }
    }
    done += run;
  }
}

Tensor Transposed(const Tensor& tensor, size_t a, size_t b) {
  RWKVD_CHECK(a < tensor.shape.size() && b < tensor.shape.size());
  Tensor view = tensor;
  view.strides = tensor.Strides();
  std::swap(view.shape[a], view.shape[b]);
  std::swap(view.strides[a], view.strides[b]);
  return view;
}

Tensor Sliced(const Tensor& tensor, size_t dimension, int64_t begin,
              int64_t end) {
  RWKVD_CHECK(dimension < tensor.shape.size() && begin >= 0 && begin <= end &&
              end <= tensor.shape[dimension]);
  Tensor view = tensor;
  view.strides = tensor.Strides();
  view.shape[dimension] = end - begin;
  const size_t bytes = SpannedBytes(view.shape, view.strides, view.dtype);
  const size_t offset =
      bytes == 0 ? 0 : begin * view.strides[dimension] * SizeOf(view.dtype);
  view.data = tensor.data.subspan(offset, bytes);
  return view;
}

Tensor Squeezed(const Tensor& tensor) {
  Tensor view = tensor;
  view.shape.clear();
  view.strides.clear();
  const std::vector<int64_t> strides = tensor.Strides();
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 1) continue;
    view.shape.push_back(tensor.shape[i]);
    view.strides.push_back(strides[i]);
  }
  return view;
}

}  // namespace rwkvd
