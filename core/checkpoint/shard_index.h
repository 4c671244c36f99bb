// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_
#define RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_

#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"

namespace rwkvd {

// Tensor name -> name of the file, in the index's folder, that holds it.
using ShardIndex = absl::btree_map<std::string, std::string>;

// Reads an index as Hugging Face writes it, {"weight_map": {tensor: file}}.
// InvalidArgument if it is not one, names no tensor, or names a file outside
// its own folder.
absl::StatusOr<ShardIndex> ParseShardIndex(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_
