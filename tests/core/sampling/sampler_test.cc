// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;

std::vector<int32_t> SampleTokens(const SamplingParams& params,
                                  const std::vector<float>& logits, int n) {
  Sampler sampler(params, logits.size());
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back(sampler.Sample(logits));
  return ids;
}

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

TEST(SamplerTest, PenaltiesApplyBeforeSoftmax) {
  SamplingParams params;
  params.presence_penalty = 100;  // a token is practically never sampled twice
  std::vector<int32_t> ids = SampleTokens(params, LogitsOf({1, 4, 3, 2}), 4);
  std::sort(ids.begin(), ids.end());
  EXPECT_THAT(ids, ElementsAre(0, 1, 2, 3));
}

TEST(SamplerTest, SameSeedGivesSameTokens) {
  SamplingParams params;
  params.seed = 7;
  const std::vector<float> logits(100, 0.0f);
  EXPECT_EQ(SampleTokens(params, logits, 50), SampleTokens(params, logits, 50));
  SamplingParams other = params;
  other.seed = 8;
  EXPECT_NE(SampleTokens(params, logits, 50), SampleTokens(other, logits, 50));
}

// The C++ standard defines the output of mt19937_64. With 256 equal weights,
// the token is the top 8 bits of each number.
TEST(SamplerTest, EachTokenUsesOneNumberOfMt19937) {
  SamplingParams params;
  params.seed = 5489;
  const std::vector<float> logits(256, 0.25f);
  std::mt19937_64 random(5489);
  for (const int32_t id : SampleTokens(params, logits, 100)) {
    EXPECT_EQ(id, static_cast<int32_t>(random() >> 56));
  }
}

TEST(SamplerTest, TemperatureZeroSelectsLikeliest) {
  EXPECT_THAT(SampleTokens(Greedy(), {1.0f, 3.0f, 2.0f, 3.0f}, 2),
              ElementsAre(1, 1));
}

TEST(SamplerTest, TinyTemperatureSelectsLikeliest) {
  for (const float temperature : {1e-45f, 1e-30f, 1e-3f}) {
    SamplingParams params;
    params.temperature = temperature;
    EXPECT_THAT(SampleTokens(params, {1.0f, 3.0f, 2.9f}, 3),
                ElementsAre(1, 1, 1));
  }
}

TEST(SamplerTest, PresencePenaltyAppliesOnce) {
  SamplingParams params = Greedy();
  params.presence_penalty = 1.5f;
  // Logit 3 becomes 1.5, which is below 2; then 2 becomes 0.5, and 1.5 stays
  // the larger one.
  EXPECT_THAT(SampleTokens(params, {3.0f, 2.0f}, 5),
              ElementsAre(0, 1, 0, 0, 0));
}

TEST(SamplerTest, FrequencyPenaltyAppliesPerOccurrence) {
  SamplingParams params = Greedy();
  params.frequency_penalty = 1;
  // Logits before each token: (3, 2.5), (2, 2.5), (2, 1.5), (1, 1.5), (1, 0.5).
  EXPECT_THAT(SampleTokens(params, {3.0f, 2.5f}, 5),
              ElementsAre(0, 1, 0, 1, 0));
}

TEST(SamplerTest, DecayReducesPenaltyOfOlderTokens) {
  SamplingParams params = Greedy();
  params.frequency_penalty = 4;
  params.penalty_decay = 0.5f;
  const std::vector<float> logits = {3.0f, 1.5f, 1.2f, -0.5f};
  // After token 0 is sampled, its logit is -1, 1 and then 2. By then the logit
  // of 1 is -0.5 and that of 2 is -2.8.
  EXPECT_THAT(SampleTokens(params, logits, 4), ElementsAre(0, 1, 2, 0));
  params.penalty_decay = 1;
  // The logit of token 0 stays at -1, that of 1 at -2.5 and that of 2 at -2.8.
  EXPECT_THAT(SampleTokens(params, logits, 5), ElementsAre(0, 1, 2, 3, 0));
  params.penalty_decay = 0;
  // Only the last sampled token is penalized.
  EXPECT_THAT(SampleTokens(params, logits, 4), ElementsAre(0, 1, 0, 1));
}

TEST(SamplerTest, NegativePenaltiesFavorRepetition) {
  SamplingParams params;
  params.presence_penalty = -100;
  const std::vector<int32_t> ids =
      SampleTokens(params, LogitsOf({1, 1, 1, 1}), 20);
  EXPECT_EQ(ids, std::vector<int32_t>(20, ids[0]));
}

TEST(SamplerTest, IdsBeyondTokenizerAreNeverSampled) {
  Sampler greedy(Greedy(), 2);
  EXPECT_EQ(greedy.Sample({1.0f, 2.0f, 9.0f}), 1);
  Sampler sampler({}, 2);
  for (int i = 0; i < 100; ++i) EXPECT_LT(sampler.Sample({1, 2, 9.0f}), 2);
}

TEST(SamplerTest, NonFiniteLogitsAreNeverSampled) {
  const std::vector<float> logits = {kNan, kInfinity, 0.0f, -kInfinity, kNan};
  EXPECT_THAT(SampleTokens(Greedy(), logits, 2), ElementsAre(2, 2));
  EXPECT_THAT(SampleTokens({}, logits, 3), ElementsAre(2, 2, 2));
  SamplingParams truncated;
  truncated.top_p = 0.5f;
  truncated.top_k = 3;
  EXPECT_THAT(SampleTokens(truncated, logits, 2), ElementsAre(2, 2));
}

TEST(SamplerTest, NoFiniteLogitGivesZero) {
  const std::vector<float> logits = {kNan, kInfinity, -kInfinity};
  EXPECT_THAT(SampleTokens(Greedy(), logits, 2), ElementsAre(0, 0));
  EXPECT_THAT(SampleTokens({}, logits, 2), ElementsAre(0, 0));
}

TEST(SamplerTest, NoFiniteLogitGivesLowestPermittedId) {
  const std::vector<float> logits(4, kNan);
  SamplingParams params;
  params.banned_tokens = {1, 0};
  EXPECT_THAT(SampleTokens(params, logits, 1), ElementsAre(2));
  params.allowed_tokens = {3, 1};
  EXPECT_THAT(SampleTokens(params, logits, 1), ElementsAre(3));
  params.temperature = 0;
  EXPECT_THAT(SampleTokens(params, logits, 1), ElementsAre(3));
}

TEST(SamplerTest, BannedTokensAreNeverSampled) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    params.banned_tokens = {1, 1, 3};
    const std::vector<int32_t> ids =
        SampleTokens(params, {1.0f, 90.0f, 1.0f, 90.0f}, 100);
    EXPECT_THAT(ids, Each(AnyOf(0, 2)));
  }
}

TEST(SamplerTest, OnlyAllowedTokensAreSampled) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    params.allowed_tokens = {2, 0};
    const std::vector<int32_t> ids =
        SampleTokens(params, {1.0f, 90.0f, 1.0f, 90.0f}, 100);
    EXPECT_THAT(ids, Each(AnyOf(0, 2)));
  }
}

TEST(SamplerTest, NeverEndBansEndOfText) {
  SamplingParams params = Greedy();
  const SamplingVocabulary vocabulary = {.num_ids = 3, .end_of_text = 1};
  EXPECT_EQ(Sampler(params, vocabulary, {}).Sample({0.0f, 2.0f, 1.0f}), 1);
  params.never_end = true;
  EXPECT_EQ(Sampler(params, vocabulary, {}).Sample({0.0f, 2.0f, 1.0f}), 2);
}

TEST(SamplerTest, LateTokensAreNotSampledBeforeMinTokens) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    params.min_tokens = 2;
    params.late_tokens = {1, 7};  // there is no token 7
    Sampler sampler(params, 3);
    EXPECT_NE(sampler.Sample({0.0f, 90.0f, 1.0f}), 1);
    EXPECT_NE(sampler.Sample({0.0f, 90.0f, 1.0f}), 1);
    EXPECT_EQ(sampler.Sample({0.0f, 90.0f, 1.0f}), 1);
  }
}

TEST(SamplerTest, UnusedIdsAreNeverSampled) {
  const SamplingVocabulary vocabulary = {
      .num_ids = 4,
      .unused_ids =
          std::make_shared<const std::vector<int32_t>>(std::vector{0, 2})};
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    params.logit_bias = {{0, 100}};
    for (const bool has_allowed : {false, true}) {
      if (has_allowed) params.allowed_tokens = {0, 1, 2, 3};
      Sampler sampler(params, vocabulary, {});
      for (int i = 0; i < 50; ++i) {
        EXPECT_THAT(sampler.Sample({90.0f, 1.0f, 90.0f, 1.0f}), AnyOf(1, 3));
      }
    }
  }
}

TEST(SamplerTest, UnusedIdIsNotSampledIfNoOtherTokenIsLeft) {
  const SamplingVocabulary vocabulary = {
      .num_ids = 3,
      .unused_ids =
          std::make_shared<const std::vector<int32_t>>(std::vector{0})};
  const std::vector<float> logits(3, std::nanf(""));
  EXPECT_EQ(Sampler(Greedy(), vocabulary, {}).Sample(logits), 1);
  EXPECT_EQ(Sampler({}, vocabulary, {}).Sample(logits), 1);
}

TEST(SamplerTest, BiasDoesNotUnbanToken) {
  SamplingParams params = Greedy();
  params.banned_tokens = {0};
  params.logit_bias = {{0, 100}};
  EXPECT_THAT(SampleTokens(params, {0.0f, -50.0f}, 2), ElementsAre(1, 1));
}

TEST(SamplerTest, ForcedTokensComeFirstAndUseNoRandomNumber) {
  SamplingParams params;
  params.seed = 7;
  const std::vector<float> logits(100, 0.0f);
  const std::vector<int32_t> unforced = SampleTokens(params, logits, 20);
  params.forced_tokens = {5, 5, 93};
  std::vector<int32_t> expected = {5, 5, 93};
  expected.insert(expected.end(), unforced.begin(), unforced.end());
  EXPECT_EQ(SampleTokens(params, logits, 23), expected);
}

TEST(SamplerTest, ForcedTokensCountForPenalties) {
  SamplingParams params = Greedy();
  params.forced_tokens = {0};
  params.presence_penalty = 2;
  EXPECT_THAT(SampleTokens(params, {3.0f, 2.0f}, 2), ElementsAre(0, 1));
}

TEST(SamplerTest, BiasAppliesBeforeRepetitionPenalty) {
  SamplingParams params = Greedy();
  params.forced_tokens = {0};
  params.logit_bias = {{0, 3}};
  params.repetition_penalty = 2;
  // (1 + 3) / 2 = 2 is less than 2.5; 1 / 2 + 3 would be more.
  EXPECT_THAT(SampleTokens(params, {1.0f, 2.5f}, 2), ElementsAre(0, 1));
}

TEST(SamplerTest, RepetitionPenaltyAppliesBeforePresence) {
  SamplingParams params = Greedy();
  params.forced_tokens = {0};
  params.repetition_penalty = 2;
  params.presence_penalty = 2;
  // 6 / 2 - 2 = 1 is less than 1.5; (6 - 2) / 2 would be more.
  EXPECT_THAT(SampleTokens(params, {6.0f, 1.5f}, 2), ElementsAre(0, 1));
}

TEST(SamplerTest, PromptIsPenalizedLikeTheSameOutput) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPromptAndOutput;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.25f;
  params.penalty_decay = 0.9f;
  params.repetition_penalty = 1.2f;
  params.sequence_repetition = {.flat_penalty = 0.5f, .min_length = 2};
  const std::vector<float> logits = LogitsOf({1, 2, 3, 4, 5, 6});
  const std::vector<int32_t> prompt = {5, 4, 5, 4, 1};
  Sampler prompted(params, {.num_ids = 6}, prompt);
  params.forced_tokens = prompt;
  params.penalty_scope = PenaltyScope::kOutput;
  Sampler generated(params, {.num_ids = 6}, {});
  for (const int32_t id : prompt) EXPECT_EQ(generated.Sample(logits), id);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(prompted.Sample(logits), generated.Sample(logits));
  }
}

TEST(SamplerTest, ReportsTruncatedDistribution) {
  SamplingParams params = {.temperature = 0.5f, .top_k = 2};
  Sampler sampler(params, 4);
  SampledLogprobs sampled;
  const int32_t id = sampler.Sample(LogitsOf({1, 4, 3, 2}), &sampled, 3);
  // The odds of 4 and 3 squared are 16 and 9, of 25.
  EXPECT_NEAR(sampled.logprob, std::log(id == 1 ? 0.64 : 0.36), 1e-6);
  ASSERT_EQ(sampled.top.size(), 2);
  EXPECT_EQ(sampled.top[0].id, 1);
  EXPECT_NEAR(sampled.top[0].logprob, std::log(0.64), 1e-6);
  EXPECT_EQ(sampled.top[1].id, 2);
  EXPECT_NEAR(sampled.top[1].logprob, std::log(0.36), 1e-6);
}

TEST(SamplerTest, ReportsWholeDistributionAfterBias) {
  SamplingParams params;
  params.logit_bias = {{0, static_cast<float>(std::log(6.0))}};
  Sampler sampler(params, 3);
  SampledLogprobs sampled;
  const int32_t id = sampler.Sample(LogitsOf({1, 3, 1}), &sampled, 1);
  EXPECT_NEAR(sampled.logprob,
              std::log(id == 0   ? 0.6
                       : id == 1 ? 0.3
                                 : 0.1),
              1e-6);
  ASSERT_EQ(sampled.top.size(), 1);
  EXPECT_EQ(sampled.top[0].id, 0);
  EXPECT_NEAR(sampled.top[0].logprob, std::log(0.6), 1e-6);
}

TEST(SamplerTest, OnlyPossibleTokenHasLogprobZero) {
  SamplingParams forced;
  forced.forced_tokens = {1};
  for (const SamplingParams& params : {Greedy(), forced}) {
    Sampler sampler(params, 3);
    SampledLogprobs sampled = {.logprob = 9, .top = {{7, 7}}};
    EXPECT_EQ(sampler.Sample({1.0f, 2.0f, 1.5f}, &sampled, 2), 1);
    EXPECT_EQ(sampled.logprob, 0);
    ASSERT_EQ(sampled.top.size(), 1);
    EXPECT_EQ(sampled.top[0].id, 1);
    EXPECT_EQ(sampled.top[0].logprob, 0);
  }
}

TEST(SamplerTest, ReportingDistributionDoesNotChangeTokens) {
  std::mt19937 random(14);
  for (int round = 0; round < 100; ++round) {
    SamplingParams params = {.top_k = static_cast<int32_t>(random() % 3),
                             .top_p = random() % 2 == 0 ? 1 : 0.7f,
                             .presence_penalty = 0.5f,
                             .seed = random()};
    Sampler asked(params, 6);
    Sampler plain(params, 6);
    SampledLogprobs sampled;
    for (int i = 0; i < 10; ++i) {
      const std::vector<float> logits = LogitsOf({1, 2, 3, 4, 5, 6});
      EXPECT_EQ(asked.Sample(logits, &sampled, 3), plain.Sample(logits));
    }
  }
}

}  // namespace
}  // namespace rwkvd
