// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
#define RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor.h"
#include "tools/rwkv_convert/file_pages.h"

namespace rwkvd {

// The type of the elements that ReadElements reads: F32 for block types, else
// that of the tensor.
DType ElementTypeOf(const Tensor& tensor);

// Copies elements to `dst` until it is full, beginning with element `first` in
// row-major order, as CopyElements does, but converts those of block types to
// f32. For column-major matrices it is several times as fast. It releases the
// pages of the file after use, so that few of them are in memory at any time.
void ReadElements(const Tensor& tensor, const FilePages& pages, int64_t first,
                  absl::Span<std::byte> dst);

// The number of elements of `tensor` to read at once: about 8 MB, and whole
// rows of a matrix; but all elements of a transposed matrix of a block type,
// which are low-rank matrices.
int64_t ElementsPerPiece(const Tensor& tensor);

// Reads the blocks of a matrix of a block type, in the order of memory and
// about 8 MB at a time, with the factor applied to their scales, and calls
// `use` for each piece. InvalidArgument if a scale gets too large.
absl::Status ReadBlocks(
    const Tensor& tensor, const FilePages& pages,
    absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> use);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
