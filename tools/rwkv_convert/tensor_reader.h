// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
#define RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "core/checkpoint/tensor.h"
#include "tools/rwkv_convert/file_pages.h"

namespace rwkvd {

// Copies elements to `dst` until it is full, beginning with element `first` in
// row-major order, as CopyElements does. For column-major matrices it is
// several times as fast. It releases the pages of the file after use, so that
// few of them are in memory at any time.
void ReadElements(const Tensor& tensor, const FilePages& pages, int64_t first,
                  absl::Span<std::byte> dst);

// The number of elements of `tensor` to read at once: about 8 MB, and whole
// rows of a matrix.
int64_t ElementsPerPiece(const Tensor& tensor);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_TENSOR_READER_H_
