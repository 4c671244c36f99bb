// SPDX-License-Identifier: Apache-2.0
#include "service/convert/sampling.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

using ::testing::ElementsAre;

TEST(ConvertSamplingTest, EmptyMessageHasTheDefaults) {
  const auto params = FromProto(v1::Sampling());
  ASSERT_TRUE(params.ok()) << params.status();
  EXPECT_EQ(params->temperature, 1);
  EXPECT_EQ(params->top_k, 0);
  EXPECT_EQ(params->top_p, 1);
  EXPECT_EQ(params->presence_penalty, 0);
  EXPECT_EQ(params->frequency_penalty, 0);
  EXPECT_EQ(params->penalty_decay, 1);
  EXPECT_EQ(params->order, SamplerOrder::kTopPFirst);
  EXPECT_TRUE(params->logit_bias.empty());
  EXPECT_TRUE(params->banned_tokens.empty());
  EXPECT_TRUE(params->allowed_tokens.empty());
  EXPECT_TRUE(params->forced_tokens.empty());
  EXPECT_FALSE(params->never_end);
  EXPECT_EQ(params->repetition_penalty, 1);
  EXPECT_EQ(params->repetition_window, 64);
  EXPECT_EQ(params->penalty_window, 0);
  EXPECT_EQ(params->penalty_scope, PenaltyScope::kOutput);
  EXPECT_FALSE(params->exempt_blanks_and_digits);
  EXPECT_EQ(params->sequence_repetition.flat_penalty, 0);
  EXPECT_EQ(params->sequence_repetition.stacking_penalty, 0);
  EXPECT_EQ(params->tail_free_z, 1);
  EXPECT_EQ(params->typical_p, 1);
  EXPECT_EQ(params->min_p, 0);
  EXPECT_EQ(params->mirostat.version, 0);
}

TEST(ConvertSamplingTest, MessagesWithoutASeedGetDifferentSeeds) {
  EXPECT_NE(FromProto(v1::Sampling())->seed, FromProto(v1::Sampling())->seed);
}

TEST(ConvertSamplingTest, EveryFieldIsConverted) {
  v1::Sampling proto;
  proto.set_temperature(0.5);
  proto.set_top_k(3);
  proto.set_top_p(0.75);
  proto.set_presence_penalty(-1);
  proto.set_frequency_penalty(2);
  proto.set_penalty_decay(0.25);
  proto.set_seed(1ull << 63);
  proto.set_order(v1::SAMPLER_ORDER_TEMPERATURE_FIRST);
  v1::LogitBias& bias = *proto.add_logit_bias();
  bias.set_id(5);
  bias.set_bias(-2);
  proto.add_banned_tokens(7);
  proto.add_allowed_tokens(8);
  proto.add_forced_tokens(9);
  proto.set_never_end(true);
  proto.set_repetition_penalty(1.5);
  proto.set_repetition_window(10);
  proto.set_penalty_window(11);
  proto.set_penalty_scope(v1::PENALTY_SCOPE_PROMPT_AND_OUTPUT);
  proto.set_exempt_blanks_and_digits(true);
  v1::SequenceRepetition& sequences = *proto.mutable_sequence_repetition();
  sequences.set_flat_penalty(0.5);
  sequences.set_stacking_penalty(0.125);
  sequences.set_min_length(12);
  sequences.set_window(13);
  sequences.set_tolerance(2);
  sequences.set_max_merge(3);
  proto.set_tail_free_z(0.5);
  proto.set_typical_p(0.25);
  proto.set_min_p(0.125);
  v1::Mirostat& mirostat = *proto.mutable_mirostat();
  mirostat.set_version(1);
  mirostat.set_tau(4);
  mirostat.set_eta(0.25);
  const auto params = FromProto(proto);
  ASSERT_TRUE(params.ok()) << params.status();
  EXPECT_EQ(params->temperature, 0.5);
  EXPECT_EQ(params->top_k, 3);
  EXPECT_EQ(params->top_p, 0.75);
  EXPECT_EQ(params->presence_penalty, -1);
  EXPECT_EQ(params->frequency_penalty, 2);
  EXPECT_EQ(params->penalty_decay, 0.25);
  EXPECT_EQ(params->seed, 1ull << 63);
  EXPECT_EQ(params->order, SamplerOrder::kTemperatureFirst);
  ASSERT_EQ(params->logit_bias.size(), 1);
  EXPECT_EQ(params->logit_bias[0].id, 5);
  EXPECT_EQ(params->logit_bias[0].bias, -2);
  EXPECT_THAT(params->banned_tokens, ElementsAre(7));
  EXPECT_THAT(params->allowed_tokens, ElementsAre(8));
  EXPECT_THAT(params->forced_tokens, ElementsAre(9));
  EXPECT_TRUE(params->never_end);
  EXPECT_EQ(params->repetition_penalty, 1.5);
  EXPECT_EQ(params->repetition_window, 10);
  EXPECT_EQ(params->penalty_window, 11);
  EXPECT_EQ(params->penalty_scope, PenaltyScope::kPromptAndOutput);
  EXPECT_TRUE(params->exempt_blanks_and_digits);
  EXPECT_EQ(params->sequence_repetition.flat_penalty, 0.5);
  EXPECT_EQ(params->sequence_repetition.stacking_penalty, 0.125);
  EXPECT_EQ(params->sequence_repetition.min_length, 12);
  EXPECT_EQ(params->sequence_repetition.window, 13);
  EXPECT_EQ(params->sequence_repetition.tolerance, 2);
  EXPECT_EQ(params->sequence_repetition.max_merge, 3);
  EXPECT_EQ(params->tail_free_z, 0.5);
  EXPECT_EQ(params->typical_p, 0.25);
  EXPECT_EQ(params->min_p, 0.125);
  EXPECT_EQ(params->mirostat.version, 1);
  EXPECT_EQ(params->mirostat.tau, 4);
  EXPECT_EQ(params->mirostat.eta, 0.25);
}

TEST(ConvertSamplingTest, PresetSetsTheDefaultsOfAbsentFields) {
  v1::Sampling proto;
  proto.set_preset(v1::SAMPLING_PRESET_SMOLRSRWKV);
  proto.set_top_k(7);
  const auto smol = FromProto(proto);
  EXPECT_EQ(smol->top_k, 7);
  EXPECT_EQ(smol->top_p, 0.95f);
  EXPECT_EQ(smol->temperature, 0.8f);
  EXPECT_EQ(smol->repetition_penalty, 1.3f);
  EXPECT_EQ(smol->order, SamplerOrder::kTopKFirst);
  proto.set_order(v1::SAMPLER_ORDER_TOP_P_FIRST);
  EXPECT_EQ(FromProto(proto)->order, SamplerOrder::kTopPFirst);
  proto.Clear();
  proto.set_preset(v1::SAMPLING_PRESET_RWKV);
  proto.set_exempt_blanks_and_digits(false);
  const auto rwkv = FromProto(proto);
  EXPECT_EQ(rwkv->top_p, 0.85f);
  EXPECT_EQ(rwkv->frequency_penalty, 0.2f);
  EXPECT_FALSE(rwkv->exempt_blanks_and_digits);
  proto.set_preset(v1::SAMPLING_PRESET_RWKV_CHAT);
  EXPECT_EQ(FromProto(proto)->top_p, 0.3f);
  EXPECT_TRUE(FromProto(proto)->never_end);
}

TEST(ConvertSamplingTest, MirostatReplacesTopKAndTopPOfThePreset) {
  v1::Sampling proto;
  proto.set_preset(v1::SAMPLING_PRESET_SMOLRSRWKV);
  proto.mutable_mirostat();
  const auto params = FromProto(proto);
  EXPECT_EQ(params->mirostat.version, 2);
  EXPECT_EQ(params->mirostat.tau, 5);
  EXPECT_EQ(params->mirostat.eta, 0.1f);
  EXPECT_EQ(params->temperature, 0.8f);
  EXPECT_TRUE(Validate(*params).ok()) << Validate(*params);
  proto.set_top_k(40);  // set by the client
  EXPECT_FALSE(Validate(*FromProto(proto)).ok());
}

TEST(ConvertSamplingTest, UnknownEnumValuesAreRefused) {
  v1::Sampling proto;
  proto.set_preset(static_cast<v1::SamplingPreset>(99));
  EXPECT_EQ(FromProto(proto).status().message(),
            "sampling.preset: 99 is not known");
  proto.Clear();
  proto.set_order(static_cast<v1::SamplerOrder>(98));
  EXPECT_EQ(FromProto(proto).status().message(),
            "sampling.order: 98 is not known");
  proto.Clear();
  proto.set_penalty_scope(static_cast<v1::PenaltyScope>(-1));
  EXPECT_EQ(FromProto(proto).status().message(),
            "sampling.penalty_scope: -1 is not known");
}

}  // namespace
}  // namespace rwkvd
