// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STORED_BLOCKS_H_
#define RWKVD_CORE_CHECKPOINT_STORED_BLOCKS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/file_error.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// How native checkpoints in safetensors files hold matrices of block types,
// which the format does not know: the matrix NAME of type Q4_K is a U8 tensor
// "NAME.q4_k" of shape [rows, bytes of a row]. "NAME.q4_k.transposed" has the
// blocks of the transposed matrix.

// The name and shape of the U8 tensor for `matrix`, which has a block type and
// is row-major or column-major.
std::string StoredBlocksName(const Tensor& matrix);
std::vector<int64_t> StoredBlocksShape(const Tensor& matrix);

// The name of the matrix whose blocks have the name `stored`; nothing if it is
// not such a name.
std::optional<absl::string_view> MatrixOfBlocks(absl::string_view stored);

// The matrix whose blocks are `stored`, as a view of them; `stored` itself if
// it holds something else. InvalidArgument if its shape or type is wrong, or if
// it is the transpose of a matrix other than a low-rank one.
absl::StatusOr<Tensor> FromStoredBlocks(Tensor stored, const FileError& error);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORED_BLOCKS_H_
