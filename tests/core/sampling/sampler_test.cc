// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> LogitsOf(const std::vector<double>& odds) {
  std::vector<float> logits;
  for (const double odd : odds) logits.push_back(std::log(odd));
  return logits;
}

std::vector<int32_t> Draw(const SamplingParams& params,
                          const std::vector<float>& logits, int n) {
  Sampler sampler(params, logits.size());
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back(sampler.Sample(logits));
  return ids;
}

// Draws 40000 times; fails where the counts are off from `probabilities` by
// more than chance would have it once in a million seeds or so.
void ExpectDistribution(const SamplingParams& params,
                        const std::vector<float>& logits,
                        const std::vector<double>& probabilities) {
  constexpr int kDraws = 40000;
  std::vector<int> counts(probabilities.size());
  for (const int32_t id : Draw(params, logits, kDraws)) ++counts[id];
  for (size_t id = 0; id < counts.size(); ++id) {
    const double p = probabilities[id];
    EXPECT_NEAR(counts[id], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)))
        << "token " << id;
  }
}

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

TEST(SamplerTest, DrawsInProportionToProbability) {
  ExpectDistribution({}, LogitsOf({1, 4, 3, 2}), {0.1, 0.4, 0.3, 0.2});
}

TEST(SamplerTest, TemperatureRaisesProbabilities) {
  SamplingParams params;
  params.temperature = 0.5f;  // odds are squared
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {1 / 30.0, 16 / 30.0, 9 / 30.0, 4 / 30.0});
  params.temperature = 2;  // or their square roots taken
  ExpectDistribution(params, LogitsOf({1, 4, 9}), {1 / 6.0, 2 / 6.0, 3 / 6.0});
}

TEST(SamplerTest, TopPActsOnProbabilitiesBeforeTemperature) {
  SamplingParams params;
  params.top_p = 0.6f;
  params.temperature = 2;
  // 0.4 and 0.3 reach 0.6. Had temperature come first, 0.2 would stay too.
  const double a = std::sqrt(4.0), b = std::sqrt(3.0);
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {0, a / (a + b), b / (a + b), 0});
}

TEST(SamplerTest, TopKKeepsTheLikeliest) {
  SamplingParams params;
  params.top_k = 2;
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}), {0, 4 / 7.0, 3 / 7.0, 0});
}

TEST(SamplerTest, PenaltiesComeBeforeTheSoftmax) {
  SamplingParams params;
  params.presence_penalty = 100;  // what was drawn is as good as gone
  std::vector<int32_t> ids = Draw(params, LogitsOf({1, 4, 3, 2}), 4);
  std::sort(ids.begin(), ids.end());
  EXPECT_THAT(ids, ElementsAre(0, 1, 2, 3));
}

TEST(SamplerTest, SameSeedSameTokens) {
  SamplingParams params;
  params.seed = 7;
  const std::vector<float> logits(100, 0.0f);
  EXPECT_EQ(Draw(params, logits, 50), Draw(params, logits, 50));
  SamplingParams other = params;
  other.seed = 8;
  EXPECT_NE(Draw(params, logits, 50), Draw(other, logits, 50));
}

// What mt19937_64 gives is fixed by the C++ standard: with equal weights the
// token is the top bits of each number.
TEST(SamplerTest, OneNumberATokenFromTheStandardGenerator) {
  SamplingParams params;
  params.seed = 5489;
  const std::vector<float> logits(256, 0.25f);
  std::mt19937_64 random(5489);
  for (const int32_t id : Draw(params, logits, 100)) {
    EXPECT_EQ(id, static_cast<int32_t>(random() >> 56));
  }
}

TEST(SamplerTest, TemperatureZeroTakesTheLikeliest) {
  EXPECT_THAT(Draw(Greedy(), {1.0f, 3.0f, 2.0f, 3.0f}, 2), ElementsAre(1, 1));
}

TEST(SamplerTest, TinyTemperatureTakesTheLikeliest) {
  for (const float temperature : {1e-45f, 1e-30f, 1e-3f}) {
    SamplingParams params;
    params.temperature = temperature;
    EXPECT_THAT(Draw(params, {1.0f, 3.0f, 2.9f}, 3), ElementsAre(1, 1, 1));
  }
}

TEST(SamplerTest, PresencePenaltyIsTakenOnce) {
  SamplingParams params = Greedy();
  params.presence_penalty = 1.5f;
  // 3 -> 1.5 below 2 -> 0.5; then 1.5 is the larger for good.
  EXPECT_THAT(Draw(params, {3.0f, 2.0f}, 5), ElementsAre(0, 1, 0, 0, 0));
}

TEST(SamplerTest, FrequencyPenaltyIsTakenForEachTime) {
  SamplingParams params = Greedy();
  params.frequency_penalty = 1;
  // 3, 2.5 / 2, 2.5 / 2, 1.5 / 1, 1.5 / 1, 0.5
  EXPECT_THAT(Draw(params, {3.0f, 2.5f}, 5), ElementsAre(0, 1, 0, 1, 0));
}

TEST(SamplerTest, DecayForgivesOldTokens) {
  SamplingParams params = Greedy();
  params.frequency_penalty = 4;
  params.penalty_decay = 0.5f;
  const std::vector<float> logits = {3.0f, 1.5f, 1.2f, -0.5f};
  // Token 0: 3, drawn; -1, 1, then 2, when 1 is at -0.5 and 2 at -2.8.
  EXPECT_THAT(Draw(params, logits, 4), ElementsAre(0, 1, 2, 0));
  params.penalty_decay = 1;
  // It stays at -1, when 1 is at -2.5 and 2 at -2.8.
  EXPECT_THAT(Draw(params, logits, 5), ElementsAre(0, 1, 2, 3, 0));
  params.penalty_decay = 0;
  // Only the last one drawn is penalised.
  EXPECT_THAT(Draw(params, logits, 4), ElementsAre(0, 1, 0, 1));
}

TEST(SamplerTest, NegativePenaltiesFavourRepetition) {
  SamplingParams params;
  params.presence_penalty = -100;
  const std::vector<int32_t> ids = Draw(params, LogitsOf({1, 1, 1, 1}), 20);
  EXPECT_EQ(ids, std::vector<int32_t>(20, ids[0]));
}

TEST(SamplerTest, IdsBeyondTheTokenizerAreNeverDrawn) {
  Sampler greedy(Greedy(), 2);
  EXPECT_EQ(greedy.Sample({1.0f, 2.0f, 9.0f}), 1);
  Sampler sampler({}, 2);
  for (int i = 0; i < 100; ++i) EXPECT_LT(sampler.Sample({1, 2, 9.0f}), 2);
}

TEST(SamplerTest, WhatIsNotFiniteIsNeverDrawn) {
  const std::vector<float> logits = {kNan, kInfinity, 0.0f, -kInfinity, kNan};
  EXPECT_THAT(Draw(Greedy(), logits, 2), ElementsAre(2, 2));
  EXPECT_THAT(Draw({}, logits, 3), ElementsAre(2, 2, 2));
  SamplingParams truncated;
  truncated.top_p = 0.5f;
  truncated.top_k = 3;
  EXPECT_THAT(Draw(truncated, logits, 2), ElementsAre(2, 2));
}

TEST(SamplerTest, NothingFiniteGivesZero) {
  const std::vector<float> logits = {kNan, kInfinity, -kInfinity};
  EXPECT_THAT(Draw(Greedy(), logits, 2), ElementsAre(0, 0));
  EXPECT_THAT(Draw({}, logits, 2), ElementsAre(0, 0));
}

}  // namespace
}  // namespace rwkvd
