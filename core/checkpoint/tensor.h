// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_TENSOR_H_
#define RWKVD_CORE_CHECKPOINT_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/dtype.h"

namespace rwkvd {

// A named array inside a mapped file. A view: valid as long as the TensorFile
// it came from.
//
// Element [i, j, ...] lies strides[0] * i + strides[1] * j + ... elements after
// the first. Without strides the array is row major, one element behind the
// other, as nearly all are; PyTorch also saves transposed arrays and parts of
// larger ones.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // From the first element to the last. Not necessarily aligned to the element.
  absl::Span<const std::byte> data;
  // In elements, not negative; as many as dimensions, or none: row major.
  std::vector<int64_t> strides;

  int64_t num_elements() const;
  int64_t num_bytes() const;  // of its elements, however they lie
  bool is_row_major() const;
  // strides, or what they are in a row-major array.
  std::vector<int64_t> Strides() const;
};

// "[2, 3]"
std::string ShapeString(absl::Span<const int64_t> shape);

// The strides, in elements, of a row-major array.
std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> shape);

// Elements of type `dtype`, at any alignment, as f32, exactly.
void ToFloat(DType dtype, absl::Span<const std::byte> elements, float* dst);

// The elements of `tensor` as f32, exactly, in row-major order.
std::vector<float> ToFloat(const Tensor& tensor);

// Copies the elements that have, in row-major order, the numbers `first` and
// following, until `dst` is full. dst.size() is a multiple of the element's
// size and asks for no more than there is.
void CopyElements(const Tensor& tensor, int64_t first,
                  absl::Span<std::byte> dst);

// Views of the same elements.
//
// With dimensions a and b exchanged.
Tensor Transposed(const Tensor& tensor, size_t a, size_t b);
// [begin, end) of dimension `dimension`.
Tensor Sliced(const Tensor& tensor, size_t dimension, int64_t begin,
              int64_t end);
// Without the dimensions of size 1.
Tensor Squeezed(const Tensor& tensor);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_H_
