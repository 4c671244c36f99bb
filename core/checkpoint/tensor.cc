// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "core/base/float16.h"
#include "core/checkpoint/ggml_blocks.h"

namespace rwkvd {
namespace {

// The size of `elements` elements in bytes, in whole blocks.
int64_t BytesOf(int64_t elements, DType dtype) {
  const int64_t per_block = BlockElements(dtype);
  return (elements + per_block - 1) / per_block * BlockBytes(dtype);
}

// The number of bytes from the first to the last element of a view.
size_t SpannedBytes(absl::Span<const int64_t> shape,
                    absl::Span<const int64_t> strides, DType dtype) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += (shape[i] - 1) * strides[i];
  }
  return BytesOf(last + 1, dtype);
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

std::vector<float> BlocksToFloat(const Tensor& tensor) {
  std::vector<float> storage(StorageElements(tensor));
  DequantizeStorage(tensor, 0, static_cast<int64_t>(storage.size()),
                    storage.data());
  if (!tensor.is_row_major()) return ToFloat(WithStorage(tensor, storage));
  storage.resize(tensor.num_elements());
  return storage;
}

}  // namespace

int64_t Tensor::num_elements() const {
  int64_t elements = 1;
  for (int64_t dimension : shape) elements *= dimension;
  return elements;
}

int64_t Tensor::num_bytes() const { return BytesOf(num_elements(), dtype); }

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
    default:
      return DequantizeBlocks(
          dtype, elements.data(),
          elements.size() / BlockBytes(dtype) * BlockElements(dtype), dst);
  }
}

std::vector<float> ToFloat(const Tensor& tensor) {
  if (IsBlockType(tensor.dtype)) return BlocksToFloat(tensor);
  std::vector<float> values(tensor.num_elements());
  std::vector<std::byte> elements(tensor.num_bytes());
  CopyElements(tensor, 0, absl::MakeSpan(elements));
  ToFloat(tensor.dtype, elements, values.data());
  return values;
}

void CopyElements(const Tensor& tensor, int64_t first,
                  absl::Span<std::byte> dst) {
  const int64_t size = BlockBytes(tensor.dtype);
  const int64_t num_blocks = static_cast<int64_t>(dst.size()) / size;
  const int64_t num = num_blocks * BlockElements(tensor.dtype);
  RWKVD_CHECK(first >= 0 && first + num <= tensor.num_elements());
  RWKVD_CHECK(first % BlockElements(tensor.dtype) == 0);
  if (num == 0) return;
  if (tensor.is_row_major()) {
    const int64_t begin = first / BlockElements(tensor.dtype) * size;
    std::memcpy(dst.data(), tensor.data.data() + begin, num_blocks * size);
    return;
  }
  RWKVD_CHECK(!IsBlockType(tensor.dtype));
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

int64_t StorageElements(const Tensor& tensor) {
  return static_cast<int64_t>(tensor.data.size()) / BlockBytes(tensor.dtype) *
         BlockElements(tensor.dtype);
}

void DequantizeStorage(const Tensor& tensor, int64_t first, int64_t num,
                       float* dst) {
  RWKVD_CHECK(first % BlockElements(tensor.dtype) == 0 &&
              first + num <= StorageElements(tensor));
  const int64_t begin = BytesOf(first, tensor.dtype);
  DequantizeBlocks(tensor.dtype, tensor.data.data() + begin, num, dst);
  if (tensor.factor == 1) return;
  for (int64_t i = 0; i < num; ++i) dst[i] *= tensor.factor;
}

Tensor WithStorage(const Tensor& tensor, absl::Span<const float> storage) {
  Tensor view = tensor;
  view.dtype = DType::kF32;
  view.factor = 1;
  view.data = absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(storage.data()),
      SpannedBytes(view.shape, view.Strides(), DType::kF32));
  return view;
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
  const int64_t offset = bytes == 0 ? 0 : begin * view.strides[dimension];
  RWKVD_CHECK(offset % BlockElements(view.dtype) == 0);
  view.data = tensor.data.subspan(BytesOf(offset, view.dtype), bytes);
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
