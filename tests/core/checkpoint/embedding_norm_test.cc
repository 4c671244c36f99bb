// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/embedding_norm.h"

#include <string>

#include "core/checkpoint/layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/layout_checks.h"
#include "tests/core/checkpoint/layout_samples.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using testing::AsEmbeddings7;
using testing::ExpectTensors;
using ::testing::HasSubstr;
using testing::NativeSample;
using testing::TestTensors;

absl::StatusOr<NativeTensors> Translate(const TestTensors& tensors,
                                        const HubConfig& config = {}) {
  return ToNativeLayout(testing::ReadTensors(testing::WriteCheckpoint(
                            testing::MakeTempDirectory(), tensors)),
                        "m.bin", config);
}

std::string Refusal(const TestTensors& tensors, const HubConfig& config = {}) {
  const auto native = Translate(tensors, config);
  EXPECT_EQ(native.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(native.status().message());
}

// The sample with an embedding to which the LayerNorm has been applied: the
// LayerNorm is neutral.
TestTensors WithNeutralNorm() {
  TestTensors native = NativeSample("7");
  for (float& value : native.at("blocks.0.ln0.weight").values) value = 1;
  for (float& value : native.at("blocks.0.ln0.bias").values) value = 0;
  return native;
}

TestTensors WithoutNorm() {
  TestTensors native = NativeSample("7");
  native.erase("blocks.0.ln0.weight");
  native.erase("blocks.0.ln0.bias");
  return native;
}

TEST(EmbeddingNormTest, FusedEmbeddingNormIsNotApplied) {
  HubConfig fused;
  fused.embedding_norm_is_fused = true;
  for (const TestTensors& stored :
       {AsEmbeddings7(WithNeutralNorm()), AsEmbeddings7(WithoutNorm()),
        WithNeutralNorm()}) {
    const auto native = Translate(stored, fused);
    ASSERT_TRUE(native.ok()) << native.status();
    EXPECT_FALSE(native->has_embedding_norm);
    ExpectTensors(native->tensors, WithoutNorm());
  }
}

TEST(EmbeddingNormTest, FusedEmbeddingNormMustBeNeutral) {
  HubConfig fused;
  fused.embedding_norm_is_fused = true;
  EXPECT_THAT(Refusal(AsEmbeddings7(NativeSample("7")), fused),
              HasSubstr("tensor \"blocks.0.ln0.weight\": and its bias are "
                        "not ones and zeros, but config.json says"));
  TestTensors almost = WithNeutralNorm();
  almost.at("blocks.0.ln0.bias").values.back() = 1e-6f;
  EXPECT_THAT(Refusal(AsEmbeddings7(almost), fused),
              HasSubstr("not ones and zeros"));
}

TEST(EmbeddingNormTest, EmbeddingNormThatIsNotFusedIsApplied) {
  HubConfig config;
  config.embedding_norm_is_fused = false;
  for (const TestTensors& native : {NativeSample("7"), WithNeutralNorm()}) {
    const auto converted = Translate(AsEmbeddings7(native), config);
    ASSERT_TRUE(converted.ok()) << converted.status();
    EXPECT_TRUE(converted->has_embedding_norm);
    ExpectTensors(converted->tensors, native);
  }
  // An incomplete checkpoint, which the model refuses.
  EXPECT_TRUE(
      Translate(AsEmbeddings7(WithoutNorm()), config)->has_embedding_norm);
}

TEST(EmbeddingNormTest, EmbeddingNormThatOnlyTheConfigCouldExplainIsRejected) {
  EXPECT_THAT(Refusal(AsEmbeddings7(WithNeutralNorm())),
              HasSubstr("\"embedding_layer_norm_fused\""));
  EXPECT_THAT(Refusal(AsEmbeddings7(WithoutNorm())),
              HasSubstr("missing tensor \"blocks.0.ln0.weight\"; config.json "
                        "must say"));
  EXPECT_TRUE(Translate(AsEmbeddings7(NativeSample("7")))->has_embedding_norm);
  // Native names have no such variant.
  EXPECT_TRUE(Translate(WithNeutralNorm())->has_embedding_norm);
  EXPECT_TRUE(Translate(WithoutNorm())->has_embedding_norm);
}

}  // namespace
}  // namespace rwkvd
