// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_
#define RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_

#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"

namespace rwkvd {

// For each tensor name, the name of the file that contains the tensor, in the
// directory of the index.
using ShardIndex = absl::btree_map<std::string, std::string>;

// Parses an index of the Hugging Face libraries, {"weight_map": {tensor:
// file}}. Returns InvalidArgument if it is malformed, contains no tensor, or
// names a file outside its own directory.
absl::StatusOr<ShardIndex> ParseShardIndex(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SHARD_INDEX_H_
