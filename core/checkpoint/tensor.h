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
// it comes from.
//
// Element [i, j, ...] is strides[0] * i + strides[1] * j + ... elements after
// the first. Nearly all tensors are row-major and have no strides. The others
// are transposed arrays and parts of larger arrays, which PyTorch saves too.
//
// The elements of a block type lie in blocks (see ggml_blocks.h): of elements
// that follow one another in memory, BlockElements(dtype) share a block. The
// first element begins a block, and so does every row along the dimension whose
// stride is 1.
struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // The bytes from the first element, or its block, to the last, possibly
  // unaligned.
  absl::Span<const std::byte> data;
  // One nonnegative number of elements for each dimension; empty if row-major.
  std::vector<int64_t> strides;
  // All elements are to be multiplied with it. A power of two; 1 unless `dtype`
  // is a block type.
  float factor = 1;

  int64_t num_elements() const;
  int64_t num_bytes() const;  // of the elements, without gaps
  bool is_row_major() const;
  // `strides`, or those of a row-major array if it is empty.
  std::vector<int64_t> Strides() const;
};

// The shape as text, such as "[2, 3]".
std::string ShapeString(absl::Span<const int64_t> shape);

// The strides, in elements, of a row-major array.
std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> shape);

// Converts elements of type `dtype`, at any alignment, to f32. Exact. Blocks
// must be whole.
void ToFloat(DType dtype, absl::Span<const std::byte> elements, float* dst);

// The elements of `tensor`, converted to f32, in row-major order. Exact.
std::vector<float> ToFloat(const Tensor& tensor);

// Fills `dst` with the elements of `tensor` from number `first` on, in
// row-major order. dst.size() must be a multiple of the element size and must
// not exceed the elements that follow. A tensor of a block type must be
// row-major, and its elements are copied as whole blocks, without the factor.
void CopyElements(const Tensor& tensor, int64_t first,
                  absl::Span<std::byte> dst);

// The number of elements in memory from the first element to the last, in
// whole blocks.
int64_t StorageElements(const Tensor& tensor);
// Converts `num` elements of a block type to f32, from number `first` on in
// the order of memory, in whole blocks.
void DequantizeStorage(const Tensor& tensor, int64_t first, int64_t num,
                       float* dst);
// A view of the same shape and strides as `tensor`, whose elements in memory
// are `storage` [StorageElements(tensor)].
Tensor WithStorage(const Tensor& tensor, absl::Span<const float> storage);

// A view of `tensor` with dimensions a and b exchanged.
Tensor Transposed(const Tensor& tensor, size_t a, size_t b);
// A view of the indices [begin, end) of one dimension. In a block type, the
// first element must begin a block.
Tensor Sliced(const Tensor& tensor, size_t dimension, int64_t begin,
              int64_t end);
// A view of `tensor` without its dimensions of size 1.
Tensor Squeezed(const Tensor& tensor);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_TENSOR_H_
