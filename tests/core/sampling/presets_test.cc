// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/params.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(PresetsTest, AllPresetsAreValid) {
  for (const SamplingParams& preset :
       {RwkvPreset(), RwkvChatPreset(), SmolrsrwkvPreset()}) {
    EXPECT_TRUE(Validate(preset).ok()) << Validate(preset);
  }
}

// Expected values: PIPELINE_ARGS in the pip package rwkv.
TEST(PresetsTest, RwkvMatchesPipPackage) {
  const SamplingParams preset = RwkvPreset();
  EXPECT_EQ(preset.temperature, 1);
  EXPECT_EQ(preset.top_p, 0.85f);
  EXPECT_EQ(preset.top_k, 0);
  EXPECT_EQ(preset.frequency_penalty, 0.2f);
  EXPECT_EQ(preset.presence_penalty, 0.2f);
  EXPECT_EQ(preset.penalty_decay, 0.996f);
  EXPECT_EQ(preset.penalty_window, 0);
  EXPECT_EQ(preset.order, SamplerOrder::kTopPFirst);
  EXPECT_EQ(preset.penalty_scope, PenaltyScope::kOutput);
  EXPECT_TRUE(preset.exempt_blanks_and_digits);
  EXPECT_FALSE(preset.never_end);
}

// Expected values: GEN_TEMP and the lines after it in API_DEMO_CHAT.py.
TEST(PresetsTest, RwkvChatMatchesChatDemonstration) {
  const SamplingParams preset = RwkvChatPreset();
  EXPECT_EQ(preset.temperature, 1);
  EXPECT_EQ(preset.top_p, 0.3f);
  EXPECT_EQ(preset.frequency_penalty, 0.5f);
  EXPECT_EQ(preset.presence_penalty, 0.5f);
  EXPECT_EQ(preset.penalty_decay, 0.996f);
  EXPECT_TRUE(preset.never_end);
}

// Expected values: the defaults of smolrsrwkv's command line.
TEST(PresetsTest, SmolrsrwkvMatchesItsCommandLine) {
  const SamplingParams preset = SmolrsrwkvPreset();
  EXPECT_EQ(preset.repetition_penalty, 1.3f);
  EXPECT_EQ(preset.repetition_window, 64);
  EXPECT_EQ(preset.presence_penalty, 0);
  EXPECT_EQ(preset.frequency_penalty, 0);
  EXPECT_EQ(preset.penalty_window, 64);
  EXPECT_EQ(preset.sequence_repetition.flat_penalty, 0);
  EXPECT_EQ(preset.sequence_repetition.stacking_penalty, 0);
  EXPECT_EQ(preset.top_k, 40);
  EXPECT_EQ(preset.tail_free_z, 1);
  EXPECT_EQ(preset.typical_p, 1);
  EXPECT_EQ(preset.top_p, 0.95f);
  EXPECT_EQ(preset.temperature, 0.8f);
  EXPECT_EQ(preset.mirostat.version, 0);
  EXPECT_EQ(preset.order, SamplerOrder::kTopKFirst);
}

}  // namespace
}  // namespace rwkvd
