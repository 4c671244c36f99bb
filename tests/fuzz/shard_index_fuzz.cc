// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as the index of a sharded checkpoint.
#include "absl/status/statusor.h"
#include "core/base/check.h"
#include "core/base/json.h"
#include "core/checkpoint/shard_index.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/mapped_input.h"

namespace rwkvd {
namespace {

void CheckShardName(absl::string_view name) {
  RWKVD_CHECK(!name.empty() && name != "." && name != "..");
  for (const char c : name) RWKVD_CHECK(c != '/' && c != '\0');
}

absl::StatusOr<ShardIndex> Parse(absl::string_view input) {
  const testing::MappedInput file(testing::AsBytes(input));
  return ParseShardIndex(*file);
}

void Read(absl::string_view input) {
  const auto index = Parse(input);
  if (!index.ok()) {
    RWKVD_CHECK(index.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  RWKVD_CHECK(!index->empty());
  for (const auto& [tensor, shard] : *index) CheckShardName(shard);
  // Writing and reading it again gives the same index.
  RWKVD_CHECK(Parse(Json({{"weight_map", *index}}).dump()).value() == *index);
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsText(data, size));
  return 0;
}
