// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_SHARD_SET_H_
#define RWKVD_CORE_CHECKPOINT_SHARD_SET_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The name of a shard, "STEM-00001-of-00003.safetensors", split into its parts.
// Views the name.
struct ShardName {
  absl::string_view stem;
  int64_t number = 0;           // from 1 on
  int64_t count = 0;            // of all shards, at most kMaxShards
  absl::string_view extension;  // ".safetensors"
};

// More shards than any checkpoint has.
inline constexpr int64_t kMaxShards = 10'000;

// Splits the name of a file; empty if it is not the name of one of at least two
// shards.
std::optional<ShardName> ParseShardName(absl::string_view name);

// Files that are the shards of one checkpoint according to their names, or a
// single file that is no shard. A value.
struct ShardSet {
  std::map<int64_t, std::string> names;  // of the files, by number
  int64_t count = 1;                     // how many there should be

  bool is_complete() const {
    return static_cast<int64_t>(names.size()) == count;
  }
  // "model-*-of-00003.safetensors", or the name of the single file.
  std::string Description() const;
  // The missing numbers as text, such as "1, 3", at most ten.
  std::string Missing() const;
};

// Groups the names of files, in the order of their first files.
std::vector<ShardSet> GroupShards(absl::Span<const std::string> names);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SHARD_SET_H_
