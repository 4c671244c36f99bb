// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/tensor_reader.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/ggml_blocks.h"

namespace rwkvd {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;
// Column-major matrices are transposed in square blocks of this many rows and
// columns, which fit into the cache whatever the stride is.
constexpr int64_t kBlock = 64;

// A column-major matrix: element [i, j] is at i + j * stride.
struct ColumnMajor {
  const std::byte* data = nullptr;
  int64_t cols = 0;
  int64_t stride = 0;  // in elements
};

// Whether `tensor` is a column-major matrix, which is then assigned to
// `matrix`.
bool IsColumnMajor(const Tensor& tensor, ColumnMajor* matrix) {
  const Tensor view = Squeezed(tensor);
  if (view.shape.size() != 2 || view.strides[0] != 1) return false;
  *matrix = {view.data.data(), view.shape[1], view.strides[1]};
  return true;
}

// Copies rows [first, first + rows) of columns [begin, end).
template <int size>
void CopyBlocks(const ColumnMajor& matrix, int64_t first, int64_t rows,
                int64_t begin, int64_t end, std::byte* dst) {
  for (int64_t top = 0; top < rows; top += kBlock) {
    const int64_t bottom = std::min(rows, top + kBlock);
    for (int64_t j = begin; j < end; ++j) {
      const std::byte* src =
          matrix.data + (first + top + j * matrix.stride) * size;
      std::byte* to = dst + (top * matrix.cols + j) * size;
      for (int64_t i = top; i < bottom; ++i) {
        std::memcpy(to, src, size);
        src += size;
        to += matrix.cols * size;
      }
    }
  }
}

void CopyRows(const ColumnMajor& matrix, const FilePages& pages, int64_t size,
              int64_t first, int64_t rows, std::byte* dst) {
  for (int64_t begin = 0; begin < matrix.cols; begin += kBlock) {
    const int64_t end = std::min(matrix.cols, begin + kBlock);
    const auto copy = size == 4   ? CopyBlocks<4>
                      : size == 2 ? CopyBlocks<2>
                                  : CopyBlocks<1>;
    copy(matrix, first, rows, begin, end, dst);
    const int64_t spanned = (end - 1 - begin) * matrix.stride + rows;
    pages.Release(absl::MakeConstSpan(
        matrix.data + (first + begin * matrix.stride) * size, spanned * size));
  }
}

// Converts elements of a block type to f32, as ReadElements does.
void ReadFromBlocks(const Tensor& tensor, const FilePages& pages, int64_t first,
                    absl::Span<std::byte> dst) {
  const int64_t num = static_cast<int64_t>(dst.size() / sizeof(float));
  std::vector<float> values(num);
  if (tensor.is_row_major()) {
    DequantizeStorage(tensor, first, num, values.data());
  } else {
    RWKVD_CHECK(first == 0 && num == tensor.num_elements());
    values = ToFloat(tensor);
  }
  std::memcpy(dst.data(), values.data(), dst.size());
  pages.Release(tensor.data);
}

}  // namespace

DType ElementTypeOf(const Tensor& tensor) {
  return IsBlockType(tensor.dtype) ? DType::kF32 : tensor.dtype;
}

void ReadElements(const Tensor& tensor, const FilePages& pages, int64_t first,
                  absl::Span<std::byte> dst) {
  if (IsBlockType(tensor.dtype)) {
    return ReadFromBlocks(tensor, pages, first, dst);
  }
  const int64_t size = static_cast<int64_t>(SizeOf(tensor.dtype));
  const int64_t num = static_cast<int64_t>(dst.size()) / size;
  if (num == 0) return;
  if (tensor.is_row_major()) {
    CopyElements(tensor, first, dst);
    pages.Release(tensor.data.subspan(first * size, dst.size()));
    return;
  }
  ColumnMajor matrix;
  if (IsColumnMajor(tensor, &matrix) && first % matrix.cols == 0 &&
      num % matrix.cols == 0) {
    CopyRows(matrix, pages, size, first / matrix.cols, num / matrix.cols,
             dst.data());
    return;
  }
  CopyElements(tensor, first, dst);
  pages.Release(tensor.data);
}

int64_t ElementsPerPiece(const Tensor& tensor) {
  if (IsBlockType(tensor.dtype) && !tensor.is_row_major()) {
    return tensor.num_elements();
  }
  const int64_t most =
      kPieceBytes / static_cast<int64_t>(SizeOf(ElementTypeOf(tensor)));
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  return row > 0 && row < most ? most / row * row : most;
}

absl::Status ReadBlocks(
    const Tensor& tensor, const FilePages& pages,
    absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> use) {
  const size_t size = static_cast<size_t>(BlockBytes(tensor.dtype));
  const size_t step = kPieceBytes / size * size;
  for (size_t first = 0; first < tensor.data.size(); first += step) {
    const absl::Span<const std::byte> stored = tensor.data.subspan(first, step);
    std::vector<std::byte> blocks(stored.begin(), stored.end());
    for (size_t at = 0; at < blocks.size(); at += size) {
      if (MultiplyBlock(tensor.dtype, tensor.factor, &blocks[at])) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(tensor.name), ": a scale of block ",
                       (first + at) / size, " times ", tensor.factor,
                       " is too large for F16; use another --dtype"));
    }
    RWKVD_RETURN_IF_ERROR(use(blocks));
    pages.Release(stored);
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
