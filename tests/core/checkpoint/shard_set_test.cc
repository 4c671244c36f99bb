// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/shard_set.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ShardNameTest, IsSplitIntoItsParts) {
  const auto shard = ParseShardName("model-00002-of-00012.safetensors");
  ASSERT_TRUE(shard.has_value());
  EXPECT_EQ(shard->stem, "model");
  EXPECT_EQ(shard->number, 2);
  EXPECT_EQ(shard->count, 12);
  EXPECT_EQ(shard->extension, ".safetensors");
  EXPECT_EQ(ParseShardName("a-b-of-c-1-of-2.pt.bin")->stem, "a-b-of-c");
}

TEST(ShardNameTest, OtherNamesAreNoShards) {
  for (const char* name :
       {"", "model.safetensors", "model-00001-of-00001.safetensors",
        "model-00000-of-00002.safetensors", "model-00003-of-00002.safetensors",
        "model-1-of-2", "model-x-of-2.bin", "model-1-of-y.bin",
        "model--1-of-2x.bin", "1-of-2.bin", "model-1-of-.bin",
        "model-1-of-10001.bin", "model-1-of-99999999999999999999.bin",
        "model- 1-of-2.bin", "model-+1-of-2.bin", "-of-", "-of-.", "--of-."}) {
    EXPECT_FALSE(ParseShardName(name).has_value()) << name;
  }
}

TEST(ShardSetTest, ShardsOfOneCheckpointAreOneSet) {
  const auto sets = GroupShards(
      {"a-1-of-2.st", "a.st", "b-1-of-2.st", "a-2-of-2.st", "a-1-of-3.st"});
  ASSERT_EQ(sets.size(), 4u);
  EXPECT_TRUE(sets[0].is_complete());
  EXPECT_EQ(sets[0].Description(), "a-*-of-2.st");
  EXPECT_EQ(sets[0].names.at(2), "a-2-of-2.st");
  EXPECT_TRUE(sets[1].is_complete());
  EXPECT_EQ(sets[1].Description(), "a.st");
  EXPECT_FALSE(sets[2].is_complete());
  EXPECT_EQ(sets[2].Missing(), "2");
  EXPECT_EQ(sets[3].Missing(), "2, 3");
}

TEST(ShardSetTest, NumberThatOccursTwiceIsNotOverlooked) {
  const auto sets =
      GroupShards({"a-01-of-02.st", "a-1-of-02.st", "a-02-of-02.st"});
  EXPECT_EQ(sets.size(), 2u);
}

TEST(ShardSetTest, AtMostTenMissingNumbersAreListed) {
  EXPECT_EQ(GroupShards({"a-1-of-12.st"})[0].Missing(),
            "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...");
}

}  // namespace
}  // namespace rwkvd
