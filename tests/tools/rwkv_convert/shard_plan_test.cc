// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/shard_plan.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

// A tensor of the given number of bytes.
testing::TestTensor OfBytes(int64_t bytes, DType dtype = DType::kF32) {
  const int64_t num = bytes / static_cast<int64_t>(SizeOf(dtype));
  return {.shape = {num}, .dtype = dtype, .values = std::vector<float>(num, 1)};
}

std::vector<std::vector<std::string>> Names(const std::vector<Shard>& shards) {
  std::vector<std::vector<std::string>> names;
  for (const Shard& shard : shards) {
    names.emplace_back();
    for (const auto& entry : shard) names.back().push_back(entry.name);
  }
  return names;
}

TEST(ShardPlanTest, FillsFilesLayerByLayer) {
  const auto source =
      testing::MakeTensorFile({{"head.weight", OfBytes(64)},
                               {"ln_out.bias", OfBytes(64)},
                               {"emb.weight", OfBytes(64)},
                               {"blocks.10.ln1.bias", OfBytes(64)},
                               {"blocks.2.ln1.bias", OfBytes(64)},
                               {"blocks.2.att.key.weight", OfBytes(64)}});
  EXPECT_THAT(
      Names(PlanShards(*source, {}, 128)),
      ElementsAre(ElementsAre("emb.weight", "blocks.2.att.key.weight"),
                  ElementsAre("blocks.2.ln1.bias", "blocks.10.ln1.bias"),
                  ElementsAre("head.weight", "ln_out.bias")));
  EXPECT_EQ(PlanShards(*source, {}, 6 * 64).size(), 1u);
  EXPECT_EQ(PlanShards(*source, {}, 6 * 64 - 1).size(), 2u);
  EXPECT_EQ(PlanShards(*source, {}, 1).size(), 6u);
}

TEST(ShardPlanTest, UsesTheSizesAfterConversion) {
  const auto source = testing::MakeTensorFile(
      {{"a", OfBytes(64)}, {"b", OfBytes(64)}, {"c.att.w0", OfBytes(64)}});
  const auto shards = PlanShards(*source, {{DType::kF16}}, 128);
  EXPECT_EQ(shards.size(), 1u);
  EXPECT_EQ(TotalBytes(shards), 128);
  EXPECT_EQ(TotalBytes(PlanShards(*source, {}, 128)), 192);
}

TEST(ShardPlanTest, KeepsScalesWithTheirQuants) {
  const testing::TestTensor matrix = {.shape = {32, 128},
                                      .values = std::vector<float>(4096)};
  const auto source =
      testing::MakeTensorFile({{"blocks.0.att.key.weight", matrix},
                               {"blocks.0.ffn.key.weight", matrix},
                               {"blocks.0.att.w1", OfBytes(64)}});
  const Target target = {{DType::kF16}, WeightKind::kInt4};
  const std::vector<std::vector<std::string>> in_one = {
      {"blocks.0.att.key.weight.int4.rows", "blocks.0.att.key.weight.scales",
       "blocks.0.ffn.key.weight.int4.rows", "blocks.0.ffn.key.weight.scales",
       "blocks.0.att.w1"}};
  auto shards = PlanShards(*source, target, 1 << 20);
  EXPECT_EQ(Names(shards), in_one);
  EXPECT_EQ(TotalBytes(shards), 2 * (2048 + 128) + 32);
  // No file has room for quants alone.
  for (int64_t room = 1; room < 5000; room += 7) {
    for (const auto& names : Names(PlanShards(*source, target, room))) {
      for (const char* key : {"att", "ffn"}) {
        const std::string name = absl::StrCat("blocks.0.", key, ".key.weight");
        EXPECT_EQ(std::count(names.begin(), names.end(), name + ".scales"),
                  std::count(names.begin(), names.end(), name + ".int4.rows"));
      }
    }
  }
}

TEST(ShardPlanTest, GivesALargeTensorAFileOfItsOwn) {
  const auto source = testing::MakeTensorFile(
      {{"a", OfBytes(4)}, {"b", OfBytes(1000)}, {"c", OfBytes(4)}});
  EXPECT_THAT(
      Names(PlanShards(*source, {}, 100)),
      ElementsAre(ElementsAre("a"), ElementsAre("b"), ElementsAre("c")));
}

TEST(ShardPlanTest, AlignsTensorsToElementsAndMatricesTo64) {
  const auto source =
      testing::MakeTensorFile({{"a", OfBytes(6, DType::kBF16)},
                               {"b", OfBytes(12, DType::kF32)},
                               {"c", OfBytes(256, DType::kBF16)},
                               {"d", OfBytes(64, DType::kF32)}});
  EXPECT_THAT(Names(PlanShards(*source, {}, 10000)),
              ElementsAre(ElementsAre("d", "c", "b", "a")));
}

TEST(ShardPlanTest, NamesFilesAsOnTheHub) {
  EXPECT_THAT(ShardNames("model", 1), ElementsAre("model.safetensors"));
  EXPECT_THAT(ShardNames("model", 2),
              ElementsAre("model-00001-of-00002.safetensors",
                          "model-00002-of-00002.safetensors"));
  for (const std::string stem : {"model", "model-b", "model-z"}) {
    for (size_t num : {1, 3, 123456}) {
      for (const std::string& name : ShardNames(stem, num)) {
        ASSERT_TRUE(IsOutputName(name)) << name;
      }
    }
  }
  EXPECT_TRUE(IsOutputName("model.safetensors.index.json"));
  for (const char* name :
       {"", "model", "model.st", "my-model.safetensors", "model-.safetensors",
        "model-b.safetensors", "model-1-of-2.safetensors",
        "model-00001-of-00002.bin", "model-00001-of-00002.safetensors.bak",
        "model-bb-00001-of-00002.safetensors", "model-00001.safetensors",
        "pytorch_model-00001-of-00002.safetensors"}) {
    EXPECT_FALSE(IsOutputName(name)) << name;
  }
}

TEST(ShardPlanTest, IndexNamesTheFileOfEveryTensor) {
  const std::vector<Shard> shards = {{{"a", DType::kF32, {4}}},
                                     {{"b", DType::kF16, {3}}}};
  const Json index = Json::parse(IndexText(shards, {"one", "two"}));
  EXPECT_EQ(index, Json::parse(R"({"metadata": {"total_size": 22},)"
                               R"("weight_map": {"a": "one", "b": "two"}})"));
}

}  // namespace
}  // namespace rwkvd
