// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/shard_set.h"

#include <algorithm>
#include <cstddef>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kOf = "-of-";
constexpr size_t kMaxListedNumbers = 10;  // numbers in a message

// Reads a number of decimal digits only.
bool ReadNumber(absl::string_view text, int64_t* number) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, number) && *number <= kMaxShards;
}

}  // namespace

std::optional<ShardName> ParseShardName(absl::string_view name) {
  const size_t of = name.rfind(kOf);
  if (of == absl::string_view::npos) return std::nullopt;
  const size_t dash = name.substr(0, of).rfind('-');
  const size_t dot = name.find('.', of);
  if (dash == absl::string_view::npos || dot == absl::string_view::npos) {
    return std::nullopt;
  }
  ShardName shard = {.stem = name.substr(0, dash),
                     .extension = name.substr(dot)};
  const size_t count_at = of + kOf.size();
  if (!ReadNumber(name.substr(dash + 1, of - dash - 1), &shard.number) ||
      !ReadNumber(name.substr(count_at, dot - count_at), &shard.count) ||
      shard.count < 2 || shard.number < 1 || shard.number > shard.count) {
    return std::nullopt;
  }
  return shard;
}

std::string ShardSet::Description() const {
  const absl::string_view first = names.begin()->second;
  const std::optional<ShardName> shard = ParseShardName(first);
  if (!shard.has_value()) return std::string(first);
  return absl::StrCat(shard->stem, "-*", first.substr(first.rfind(kOf)));
}

std::string ShardSet::Missing() const {
  std::vector<int64_t> missing;
  for (int64_t i = 1; i <= count && missing.size() <= kMaxListedNumbers; ++i) {
    if (!names.contains(i)) missing.push_back(i);
  }
  const size_t listed = std::min(missing.size(), kMaxListedNumbers);
  return absl::StrCat(
      absl::StrJoin(missing.begin(), missing.begin() + listed, ", "),
      listed < missing.size() ? ", ..." : "");
}

std::vector<ShardSet> GroupShards(absl::Span<const std::string> names) {
  std::vector<ShardSet> sets;
  absl::flat_hash_map<std::string, size_t> index_of;  // in `sets`
  for (const std::string& name : names) {
    const std::optional<ShardName> shard = ParseShardName(name);
    if (!shard.has_value()) {
      sets.push_back({.names = {{1, name}}});
      continue;
    }
    const std::string key =
        absl::StrCat(shard->stem, "/", shard->count, "/", shard->extension);
    const auto [found, is_new] = index_of.try_emplace(key, sets.size());
    if (is_new) sets.push_back({.count = shard->count});
    if (!sets[found->second].names.emplace(shard->number, name).second) {
      // The same number in other digits: no part of that set.
      sets.push_back({.names = {{shard->number, name}}, .count = shard->count});
    }
  }
  return sets;
}

}  // namespace rwkvd
