// SPDX-License-Identifier: Apache-2.0
// Compares the frequencies of sampled tokens with distributions computed by
// hand. Seeds are fixed; a correct sampler fails for one seed in a million.
#include <cmath>
#include <random>
#include <vector>

#include "core/sampling/params.h"
#include "core/sampling/sampler.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using testing::LogitsOf;

constexpr int kNumSamples = 20000;

// Returns a bound that chi-squared with `degrees` of freedom exceeds with a
// probability of at most e^-14: Laurent and Massart, Annals of Statistics 28
// (2000), lemma 1.
double ChiSquaredBound(double degrees) {
  constexpr double kX = 14;
  return degrees + 2 * std::sqrt(degrees * kX) + 2 * kX;
}

void ExpectCounts(const std::vector<int>& counts,
                  const std::vector<double>& probabilities) {
  double sum = 0;
  int degrees = -1;
  for (size_t id = 0; id < counts.size(); ++id) {
    const double expected = kNumSamples * probabilities[id];
    if (expected == 0) {
      EXPECT_EQ(counts[id], 0) << "token " << id;
      continue;
    }
    sum += (counts[id] - expected) * (counts[id] - expected) / expected;
    ++degrees;
  }
  EXPECT_LE(sum, ChiSquaredBound(degrees));
}

// Expects the first token after the forced ones to follow `probabilities`. Uses
// one sampler per answer, each with `prompt` before it.
void ExpectDistribution(SamplingParams params,
                        const SamplingVocabulary& vocabulary,
                        const std::vector<float>& logits,
                        const std::vector<double>& probabilities,
                        const std::vector<int32_t>& prompt = {}) {
  std::vector<int> counts(probabilities.size());
  for (int i = 0; i < kNumSamples; ++i) {
    params.seed = i;
    Sampler sampler(params, vocabulary, prompt);
    for (const int32_t id : params.forced_tokens) {
      ASSERT_EQ(sampler.Sample(logits), id);
    }
    ++counts[sampler.Sample(logits)];
  }
  ExpectCounts(counts, probabilities);
}

void ExpectDistribution(const SamplingParams& params,
                        const std::vector<float>& logits,
                        const std::vector<double>& probabilities,
                        const std::vector<int32_t>& prompt = {}) {
  const SamplingVocabulary all = {.num_ids =
                                      static_cast<int64_t>(logits.size())};
  ExpectDistribution(params, all, logits, probabilities, prompt);
}

TEST(SamplerDistributionTest, DefaultsSampleModelDistribution) {
  ExpectDistribution({}, LogitsOf({1, 4, 3, 2}), {0.1, 0.4, 0.3, 0.2});
}

TEST(SamplerDistributionTest, SuccessiveTokensAreIndependent) {
  Sampler sampler({}, 4);
  std::vector<int> counts(4);
  std::vector<int> pairs(16);
  int32_t last = 0;
  for (int i = 0; i < kNumSamples; ++i) {
    const int32_t id = sampler.Sample(LogitsOf({1, 4, 3, 2}));
    ++counts[id];
    ++pairs[last * 4 + id];
    last = id;
  }
  const std::vector<double> p = {0.1, 0.4, 0.3, 0.2};
  ExpectCounts(counts, p);
  std::vector<double> products;
  for (const double a : p) {
    for (const double b : p) products.push_back(a * b);
  }
  ExpectCounts(pairs, products);
}

TEST(SamplerDistributionTest, LargeVocabularyFollowsWeights) {
  // Each 16 successive tokens have odds of 1 to 16.
  std::vector<float> logits(65536);
  std::vector<double> probabilities(16);
  for (size_t id = 0; id < logits.size(); ++id) {
    logits[id] = std::log(1.0f + id % 16);
    probabilities[id % 16] += (1 + id % 16) / (4096 * 136.0);
  }
  Sampler sampler({}, 65536);
  std::vector<int> counts(16);
  for (int i = 0; i < kNumSamples / 4; ++i)
    ++counts[sampler.Sample(logits) % 16];
  for (int& count : counts)
    count *= 4;  // a quarter of the tokens: compensated below
  for (double& p : probabilities) EXPECT_GT(p, 0);
  double sum = 0;
  for (int c = 0; c < 16; ++c) {
    const double expected = kNumSamples * probabilities[c];
    sum += (counts[c] - expected) * (counts[c] - expected) / expected / 4;
  }
  EXPECT_LE(sum, ChiSquaredBound(15));
}

TEST(SamplerDistributionTest, TemperatureRaisesProbabilities) {
  SamplingParams params = {.temperature = 0.5f};  // squares the odds
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {1 / 30.0, 16 / 30.0, 9 / 30.0, 4 / 30.0});
  params.temperature = 2;  // takes the square roots of the odds
  ExpectDistribution(params, LogitsOf({1, 4, 9}), {1 / 6.0, 2 / 6.0, 3 / 6.0});
}

TEST(SamplerDistributionTest,
     TopPAppliesBeforeTemperatureUnlessTemperatureFirst) {
  SamplingParams params = {.temperature = 2, .top_p = 0.65f};
  const std::vector<float> logits = LogitsOf({1, 4, 3, 2});
  const double a = 2, b = std::sqrt(3.0), c = std::sqrt(2.0);
  // 0.4 and 0.3 reach 0.65. Their square roots are 0.607 of the sum of all
  // roots, and reach 0.837 only with that of 0.2.
  ExpectDistribution(params, logits, {0, a / (a + b), b / (a + b), 0});
  params.order = SamplerOrder::kTopKFirst;
  ExpectDistribution(params, logits, {0, a / (a + b), b / (a + b), 0});
  params.order = SamplerOrder::kTemperatureFirst;
  const double sum = a + b + c;
  ExpectDistribution(params, logits, {0, a / sum, b / sum, c / sum});
}

TEST(SamplerDistributionTest, TopKAppliesBeforeTopPIfTopKFirst) {
  SamplingParams params = {.top_k = 3, .top_p = 0.75f};
  const std::vector<float> logits = LogitsOf({10, 40, 30, 20});
  // 0.4 and 0.3 are less than 0.75 of all tokens, but 7/9 of the top three.
  ExpectDistribution(params, logits, {0, 4 / 9.0, 3 / 9.0, 2 / 9.0});
  params.order = SamplerOrder::kTopKFirst;
  ExpectDistribution(params, logits, {0, 4 / 7.0, 3 / 7.0, 0});
}

TEST(SamplerDistributionTest, TopKKeepsLikeliest) {
  ExpectDistribution({.top_k = 2}, LogitsOf({1, 4, 3, 2}),
                     {0, 4 / 7.0, 3 / 7.0, 0});
}

TEST(SamplerDistributionTest, MinPKeepsLikelyTokens) {
  SamplingParams params;
  params.min_p = 0.4f;
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {0, 4 / 9.0, 3 / 9.0, 2 / 9.0});
}

TEST(SamplerDistributionTest, TailFreeRemovesTail) {
  SamplingParams params;
  params.tail_free_z = 0.9f;  // computed in tail_free_test.cc
  ExpectDistribution(params, LogitsOf({0.06, 0.5, 0.04, 0.3, 0.1}),
                     {0, 0.625, 0, 0.375, 0});
}

TEST(SamplerDistributionTest, LocallyTypicalRemovesLikeliest) {
  SamplingParams params;
  params.typical_p = 0.5f;  // computed in locally_typical_test.cc
  ExpectDistribution(params, LogitsOf({0.2, 0.4, 0.2, 0.2}),
                     {1 / 3.0, 0, 1 / 3.0, 1 / 3.0});
}

TEST(SamplerDistributionTest, Mirostat2LimitsSurprise) {
  SamplingParams params;
  params.mirostat = {.version = 2, .tau = 1.1f};  // mu is 2.2 bits at first
  ExpectDistribution(params, LogitsOf({0.125, 0.5, 0.25, 0.125}),
                     {0, 2 / 3.0, 1 / 3.0, 0});
}

TEST(SamplerDistributionTest, Mirostat1LimitsNumberOfTokens) {
  // Odds of 1, 1/4, 1/9, ... give s = 2. With mu = 2,
  // (4 / (1 - 1/1000))^(1/2) = 2.001 of 1000 tokens are kept.
  std::vector<double> odds;
  for (int i = 1; i <= 1000; ++i) odds.push_back(1.0 / i / i);
  SamplingParams params;
  params.mirostat = {.version = 1, .tau = 1};
  std::vector<double> probabilities(1000);
  probabilities[0] = 0.8;
  probabilities[1] = 0.2;
  ExpectDistribution(params, LogitsOf(odds), probabilities);
}

TEST(SamplerDistributionTest, MirostatAppliesAfterTemperature) {
  SamplingParams params = {.temperature = 0.5f};
  // Odds of 4, 3, 2, 1 squared are 16, 9, 4, 1 of 30. A surprise of 2.907 bits
  // corresponds to 4 of 30.
  params.mirostat = {.version = 2, .tau = 1.4f};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {0, 16 / 25.0, 9 / 25.0, 0});
}

TEST(SamplerDistributionTest, BiasMultipliesOdds) {
  SamplingParams params;
  params.logit_bias = {{0, static_cast<float>(std::log(5.0))}};
  ExpectDistribution(params, LogitsOf({1, 3, 2}), {0.5, 0.3, 0.2});
}

TEST(SamplerDistributionTest, RepetitionPenaltyTakesRootOfOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.repetition_penalty = 2;
  // The logit of odds 16 is halved: odds 4. That of 1/2 is doubled: odds 1/4.
  ExpectDistribution(params, LogitsOf({16, 0.5, 3.75}),
                     {4 / 8.0, 0.25 / 8, 3.75 / 8}, {1, 0});
}

TEST(SamplerDistributionTest, PresenceAndFrequencyDivideOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.presence_penalty = std::log(2.0f);
  params.frequency_penalty = std::log(3.0f);
  // Token 0, seen twice: 90 / 2 / 9. Token 1, seen once: 18 / 2 / 3.
  ExpectDistribution(params, LogitsOf({90, 18, 2}), {0.5, 0.3, 0.2}, {0, 1, 0});
}

TEST(SamplerDistributionTest, DecayReducesCountsOfOlderTokens) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.frequency_penalty = std::log(4.0f);
  params.penalty_decay = 0.5f;
  // Token 0, before the last: 10 / 4^0.5. Token 1, the last: 12 / 4.
  ExpectDistribution(params, LogitsOf({10, 12, 2}), {0.5, 0.3, 0.2}, {0, 1});
}

TEST(SamplerDistributionTest, ExemptTokensGetOnlyPresencePenalty) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.presence_penalty = std::log(2.0f);
  params.frequency_penalty = std::log(3.0f);
  params.exempt_blanks_and_digits = true;
  const SamplingVocabulary vocabulary = {.num_ids = 3,
                                         .blanks_and_digits = {0}};
  // Token 0, an exempt one, seen twice: 10 / 2. Token 1, seen once: 18 / 2 / 3.
  ExpectDistribution(params, vocabulary, LogitsOf({10, 18, 2}), {0.5, 0.3, 0.2},
                     {0, 1, 0});
}

// The prompt has token 0, the answer so far token 1.
TEST(SamplerDistributionTest, PenaltiesCountTokensInScope) {
  SamplingParams params;
  params.presence_penalty = std::log(2.0f);
  params.forced_tokens = {1};
  params.penalty_scope = PenaltyScope::kOutput;
  ExpectDistribution(params, LogitsOf({5, 6, 2}), {0.5, 0.3, 0.2}, {0});
  params.penalty_scope = PenaltyScope::kPrompt;
  ExpectDistribution(params, LogitsOf({10, 3, 2}), {0.5, 0.3, 0.2}, {0});
  params.penalty_scope = PenaltyScope::kPromptAndOutput;
  ExpectDistribution(params, LogitsOf({10, 6, 2}), {0.5, 0.3, 0.2}, {0});
}

TEST(SamplerDistributionTest, SequenceRepetitionDividesOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.sequence_repetition = {.flat_penalty = std::log(2.0f),
                                .stacking_penalty = std::log(2.0f),
                                .min_length = 2};
  // 1 2 continued with 0, a sequence of three tokens: odds divided by 2 * 2^3.
  ExpectDistribution(params, LogitsOf({80, 3, 2}), {0.5, 0.3, 0.2},
                     {1, 2, 0, 1, 2});
}

TEST(SamplerDistributionTest, BannedAndAllowedTokensRestrictDistribution) {
  SamplingParams params;
  params.banned_tokens = {1};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {1 / 6.0, 0, 3 / 6.0, 2 / 6.0});
  params.allowed_tokens = {1, 2, 3};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}), {0, 0, 3 / 5.0, 2 / 5.0});
}

TEST(SamplerDistributionTest, NeverEndSamplesFromOtherTokens) {
  SamplingParams params;
  params.never_end = true;
  const SamplingVocabulary vocabulary = {.num_ids = 4, .end_of_text = 1};
  ExpectDistribution(params, vocabulary, LogitsOf({1, 4, 3, 2}),
                     {1 / 6.0, 0, 3 / 6.0, 2 / 6.0});
}

// Token 1 was seen twice: its odds are divided by e^(0.2 + 0.2 (1 + 0.996)).
// Then top-p keeps 0.85 of all.
TEST(SamplerDistributionTest, RwkvPresetMatchesDefinition) {
  SamplingParams params = RwkvPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const double left = 40 * std::exp(-0.2 - 0.2 * 1.996);  // 21.98
  // 35, 25 and 21.98 reach 0.85 of 96.98 only with the 10.
  ASSERT_LT((35 + 25 + left) / (35 + 25 + left + 15), 0.85);
  const double sum = 35 + 25 + left + 10;
  ExpectDistribution(params, LogitsOf({35, 40, 25, 10, 5}),
                     {35 / sum, left / sum, 25 / sum, 10 / sum, 0}, {1, 1});
}

// The end of text, 0, is banned. Token 1 was seen once: its odds are divided by
// e. Then top-p keeps 0.3 of all.
TEST(SamplerDistributionTest, RwkvChatPresetMatchesDefinition) {
  SamplingParams params = RwkvChatPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const SamplingVocabulary vocabulary = {.num_ids = 6, .end_of_text = 0};
  // 60 / e = 22.07 ranks third. Of the sum 22.07 + 30 + 25 + 20 + 15 = 112.07,
  // 30 is 0.268, and 30 + 25 are 0.491.
  ExpectDistribution(params, vocabulary, LogitsOf({500, 60, 30, 25, 20, 15}),
                     {0, 0, 30 / 55.0, 25 / 55.0, 0, 0}, {1});
}

// Token 0 was seen: its logit is divided by 1.3. Then top-k keeps 40 tokens,
// top-p 0.95 of these, and the temperature raises odds to the power of 1/0.8.
TEST(SamplerDistributionTest, SmolrsrwkvPresetMatchesDefinition) {
  SamplingParams params = SmolrsrwkvPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const double repeated = std::pow(60, 1 / 1.3);  // 23.3
  std::vector<double> odds = {60, 50, 20};
  odds.resize(60, 0.1);
  // The odds of 40 tokens sum to 97. 50, 23.3 and 20 are 0.962 of it, and the
  // first two 0.756.
  std::vector<double> expected(60);
  expected[0] = std::pow(repeated, 1.25);
  expected[1] = std::pow(50, 1.25);
  expected[2] = std::pow(20, 1.25);
  const double sum = expected[0] + expected[1] + expected[2];
  for (double& p : expected) p /= sum;
  ExpectDistribution(params, LogitsOf(odds), expected, {0});
}

}  // namespace
}  // namespace rwkvd
