// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/tensor_reader.h"

#include <algorithm>
#include <cstring>

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

}  // namespace

void ReadElements(const Tensor& tensor, const FilePages& pages, int64_t first,
                  absl::Span<std::byte> dst) {
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
  const int64_t most = kPieceBytes / static_cast<int64_t>(SizeOf(tensor.dtype));
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  return row > 0 && row < most ? most / row * row : most;
}

}  // namespace rwkvd
