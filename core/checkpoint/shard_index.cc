// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/shard_index.h"

#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// Whether the name denotes a file in the index's own directory.
bool IsPlainFileName(absl::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == absl::string_view::npos &&
         name.find('\0') == absl::string_view::npos;
}

}  // namespace

absl::StatusOr<ShardIndex> ParseShardIndex(const MappedFile& file) {
  const FileError error(file.path());
  const absl::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  RWKVD_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file.path()));
  if (!json.is_object()) return error("expected a JSON object");
  const auto weight_map = json.find("weight_map");
  if (weight_map == json.end() || !weight_map->is_object() ||
      weight_map->empty()) {
    return error(
        "expected an object \"weight_map\" with at least one tensor; if this "
        "is "
        "no index, its download may have failed");
  }
  ShardIndex index;
  for (const auto& [tensor, shard] : weight_map->items()) {
    const auto* name = shard.get_ptr<const std::string*>();
    if (name == nullptr || !IsPlainFileName(*name)) {
      return error(
          "weight_map[", Quoted(tensor),
          "]: expected the name of a file in the directory of the index, got ",
          name == nullptr ? shard.type_name() : Quoted(*name));
    }
    index.emplace(tensor, *name);
  }
  return index;
}

}  // namespace rwkvd
