// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_
#define RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// What a file is, is seen from its first bytes and not from its name.

// Whether it is an index of shards: JSON. A file called *.index.json always is.
bool IsShardIndex(const MappedFile& file);

// The tensors of one safetensors or PyTorch file under their names in it, as
// views into it. InvalidArgument if it is damaged or of another format, which
// the message names where it is known.
absl::StatusOr<std::vector<Tensor>> ParseTensors(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_FILE_FORMAT_H_
