// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
#define RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "core/checkpoint/tensor.h"
#include "tools/rwkv_convert/file_pages.h"

namespace rwkvd {

// Copies the elements that have, in row-major order, the numbers `first` and
// following, until `dst` is full, as CopyElements does; but for matrices stored
// by columns several times as fast, and with few pages of the file in memory at
// any time: those it has used are released.
void ReadElements(const Tensor& tensor, const FilePages& pages, int64_t first,
                  absl::Span<std::byte> dst);

// How many elements to read of `tensor` at a time: about 8 MB, and of a matrix
// whole rows.
int64_t ElementsPerPiece(const Tensor& tensor);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
