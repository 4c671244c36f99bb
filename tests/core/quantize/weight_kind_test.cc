// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/weight_kind.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/quantized_checkpoint.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr WeightKind kQuantized[] = {WeightKind::kInt8, WeightKind::kInt4,
                                     WeightKind::kInt4Mixed};

TEST(WeightKindTest, KindsHaveNames) {
  for (const char* name :
       {"as_stored", "int8", "int8,mixed", "int4", "int4,mixed"}) {
    const auto kind = WeightKindFromName(name);
    ASSERT_TRUE(kind.has_value()) << name;
    EXPECT_EQ(NameOf(*kind), name);
  }
  EXPECT_FALSE(WeightKindFromName("int5").has_value());
  EXPECT_FALSE(WeightKindFromName("").has_value());
}

TEST(WeightKindTest, OnlyLargeMatricesAreQuantized) {
  for (const WeightKind kind : kQuantized) {
    for (const char* name :
         {"blocks.0.att.receptance.weight", "blocks.7.att.key.weight",
          "blocks.12.att.value.weight", "blocks.0.att.output.weight",
          "blocks.0.att.gate.weight", "blocks.0.ffn.key.weight",
          "blocks.0.ffn.value.weight", "blocks.0.ffn.receptance.weight",
          "head.weight"}) {
      EXPECT_TRUE(FormOf(kind, name, 64, 128).has_value()) << name;
      EXPECT_FALSE(FormOf(WeightKind::kAsStored, name, 64, 128).has_value());
    }
    for (const char* name :
         {"emb.weight", "blocks.0.att.w1", "blocks.0.att.time_maa_w1",
          "blocks.0.att.time_decay_w2", "blocks.0.att.g2",
          "blocks.0.ln1.weight", "blocks.0.att.time_faaaa", "head.bias",
          "blocks.0.att.ln_x.weight", "other.0.att.key.weight",
          "blocks..x.att.key.weight"}) {
      EXPECT_FALSE(FormOf(kind, name, 64, 128).has_value()) << name;
    }
  }
}

TEST(WeightKindTest, Int8MixedLeavesHeadAndChannelMixingAsStored) {
  const auto form = [](const char* name) {
    return FormOf(WeightKind::kInt8Mixed, name, 64, 128);
  };
  for (const char* name : {"head.weight", "blocks.3.ffn.key.weight",
                           "blocks.3.ffn.value.weight", "emb.weight"}) {
    EXPECT_FALSE(form(name).has_value()) << name;
  }
  for (const char* name :
       {"blocks.0.att.key.weight", "blocks.2.att.gate.weight",
        "blocks.0.ffn.receptance.weight"}) {
    ASSERT_TRUE(form(name).has_value()) << name;
    EXPECT_EQ(form(name)->type, QuantType::kInt8);
    EXPECT_TRUE(form(name)->int16_activations());
  }
}

TEST(WeightKindTest, TypeAndOrderFollowTheMatrixRole) {
  const auto form = [](WeightKind kind, const char* name) {
    return *FormOf(kind, name, 64, kMinSkippedCols);
  };
  const char key[] = "blocks.1.ffn.key.weight";
  const char value[] = "blocks.1.ffn.value.weight";
  for (const WeightKind kind : kQuantized) {
    EXPECT_EQ(form(kind, key).order, QuantOrder::kRowPanels);
    EXPECT_EQ(form(kind, value).order, QuantOrder::kColumnBlocks);
    EXPECT_EQ(form(kind, key).type, form(kind, value).type);
    EXPECT_EQ(form(kind, key).type == QuantType::kInt8,
              kind == WeightKind::kInt8);
    EXPECT_EQ(form(kind, "head.weight").type == QuantType::kInt8,
              kind != WeightKind::kInt4);
    EXPECT_EQ(form(kind, key).int16_activations(), kind == WeightKind::kInt8);
    EXPECT_FALSE(form(kind, value).int16_activations());
  }
}

TEST(WeightKindTest, Int8FfnValueWithFewColumnsIsStoredAsRowPanels) {
  const char value[] = "blocks.1.ffn.value.weight";
  constexpr int64_t kCols = kMinSkippedCols - kGroupCols;
  const auto few = FormOf(WeightKind::kInt8, value, 64, kCols);
  ASSERT_TRUE(few.has_value());
  EXPECT_EQ(few->order, QuantOrder::kRowPanels);
  EXPECT_TRUE(few->int16_activations());
  EXPECT_EQ(FormOf(WeightKind::kInt4, value, 64, kCols)->order,
            QuantOrder::kColumnBlocks);
  const std::string name = QuantsName(value, *few);
  const auto parsed = ParseQuantsName(name);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->matrix, value);
  EXPECT_EQ(parsed->form.order, QuantOrder::kRowPanels);
}

TEST(WeightKindTest, OnlyMatricesOfWholeGroupsAndPanelsAreQuantized) {
  const char key[] = "blocks.0.att.key.weight";
  for (const WeightKind kind : kQuantized) {
    EXPECT_FALSE(FormOf(kind, key, 64, 63).has_value());
    EXPECT_FALSE(FormOf(kind, key, 64, 32).has_value());
    EXPECT_FALSE(FormOf(kind, key, 64, 0).has_value());
    EXPECT_FALSE(FormOf(kind, key, 24, 64).has_value());
    EXPECT_TRUE(FormOf(kind, key, 16, 64).has_value());
    // The head has a row per token: any number.
    EXPECT_TRUE(FormOf(kind, "head.weight", 65529, 64).has_value());
    EXPECT_FALSE(FormOf(kind, "head.weight", 65529, 65).has_value());
  }
}

TEST(WeightKindTest, StoredNamesAndShapesFollowTheFormat) {
  const QuantForm rows = {QuantType::kInt8, QuantOrder::kRowPanels};
  EXPECT_EQ(QuantsName("head.weight", rows), "head.weight.int8.rows");
  EXPECT_EQ(ScalesName("head.weight"), "head.weight.scales");
  EXPECT_THAT(QuantsShape(rows, 100, 192), ElementsAre(7, 16 * 192));
  EXPECT_THAT(ScalesShape(rows, 100, 192), ElementsAre(7, 3, 16));
  const QuantForm columns = {QuantType::kInt4, QuantOrder::kColumnBlocks};
  const std::string name = QuantsName("blocks.3.ffn.value.weight", columns);
  EXPECT_EQ(name, "blocks.3.ffn.value.weight.int4.columns");
  EXPECT_THAT(QuantsShape(columns, 192, 768), ElementsAre(1, 128 * 768));
  EXPECT_THAT(ScalesShape(columns, 192, 768), ElementsAre(1, 12, 256));
  const auto parsed = ParseQuantsName(name);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->matrix, "blocks.3.ffn.value.weight");
  EXPECT_EQ(parsed->form.type, QuantType::kInt4);
  EXPECT_EQ(parsed->form.order, QuantOrder::kColumnBlocks);
}

TEST(WeightKindTest, OtherNamesAreNotParsed) {
  for (const char* name :
       {"head.weight", "head.weight.int8", "head.weight.int8.columns",
        "head.weight.int5.rows", "emb.weight.int8.rows", ".int8.rows", "",
        "blocks.0.ffn.key.weight.int8.columns", "head.weight.scales"}) {
    EXPECT_FALSE(ParseQuantsName(name).has_value()) << name;
  }
}

TEST(WeightKindTest, ErrorsSayWhyAFileCannotBeQuantized) {
  const auto refusal = [](const testing::TestTensors& tensors) {
    const auto status = CheckQuantizable(*testing::MakeQuantizedFile(tensors),
                                         WeightKind::kInt4);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const testing::TestTensors good =
      testing::RandomRwkv7({.heads = 2, .head_size = 32, .ffn = 128}, 1);
  EXPECT_TRUE(
      CheckQuantizable(*testing::MakeTensorFile(good), WeightKind::kInt4).ok());
  const auto quantized = testing::Quantized(good, WeightKind::kInt8);
  EXPECT_THAT(refusal(quantized),
              HasSubstr("cannot be quantized to int4: it is quantized already "
                        "(tensor \"blocks.0.att.key.weight.int8.rows\")"));
  EXPECT_TRUE(CheckQuantizable(*testing::MakeQuantizedFile(quantized),
                               WeightKind::kAsStored)
                  .ok());
  EXPECT_THAT(refusal(testing::RandomRwkv7({.ffn = 130}, 1)),
              HasSubstr("no matrix has a multiple of 16 rows"));
}

}  // namespace
}  // namespace rwkvd
