// SPDX-License-Identifier: Apache-2.0
// How often each token is drawn, over many draws, beside what its definition
// says by hand. Seeds are fixed; a right sampler fails for one in a million of
// them.
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

constexpr int kDraws = 20000;

// What chi-squared of `degrees` of freedom exceeds with a probability of e^-14
// at most: Laurent and Massart, Annals of Statistics 28 (2000), lemma 1.
double ChiSquaredBound(double degrees) {
  constexpr double kX = 14;
  return degrees + 2 * std::sqrt(degrees * kX) + 2 * kX;
}

void ExpectCounts(const std::vector<int>& counts,
                  const std::vector<double>& probabilities) {
  double sum = 0;
  int degrees = -1;
  for (size_t id = 0; id < counts.size(); ++id) {
    const double expected = kDraws * probabilities[id];
    if (expected == 0) {
      EXPECT_EQ(counts[id], 0) << "token " << id;
      continue;
    }
    sum += (counts[id] - expected) * (counts[id] - expected) / expected;
    ++degrees;
  }
  EXPECT_LE(sum, ChiSquaredBound(degrees));
}

// The first token of many answers, of a sampler for each, after those that are
// forced; after `prompt`.
void ExpectDistribution(SamplingParams params,
                        const SamplingVocabulary& vocabulary,
                        const std::vector<float>& logits,
                        const std::vector<double>& probabilities,
                        const std::vector<int32_t>& prompt = {}) {
  std::vector<int> counts(probabilities.size());
  for (int i = 0; i < kDraws; ++i) {
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

TEST(SamplerDistributionTest, PlainDrawsAreTheModels) {
  ExpectDistribution({}, LogitsOf({1, 4, 3, 2}), {0.1, 0.4, 0.3, 0.2});
}

TEST(SamplerDistributionTest, OneSamplerDrawsIndependently) {
  Sampler sampler({}, 4);
  std::vector<int> counts(4);
  std::vector<int> pairs(16);
  int32_t last = 0;
  for (int i = 0; i < kDraws; ++i) {
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

TEST(SamplerDistributionTest, ALargeVocabularyIsDrawnByItsWeights) {
  // 65,536 tokens in 16 classes of odds 1 to 16, dealt out by turns.
  std::vector<float> logits(65536);
  std::vector<double> probabilities(16);
  for (size_t id = 0; id < logits.size(); ++id) {
    logits[id] = std::log(1.0f + id % 16);
    probabilities[id % 16] += (1 + id % 16) / (4096 * 136.0);
  }
  Sampler sampler({}, 65536);
  std::vector<int> counts(16);
  for (int i = 0; i < kDraws / 4; ++i) ++counts[sampler.Sample(logits) % 16];
  for (int& count : counts) count *= 4;  // chi-squared would be 4 times as high
  for (double& p : probabilities) EXPECT_GT(p, 0);
  double sum = 0;
  for (int c = 0; c < 16; ++c) {
    const double expected = kDraws * probabilities[c];
    sum += (counts[c] - expected) * (counts[c] - expected) / expected / 4;
  }
  EXPECT_LE(sum, ChiSquaredBound(15));
}

TEST(SamplerDistributionTest, TemperatureRaisesProbabilities) {
  SamplingParams params = {.temperature = 0.5f};  // odds are squared
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {1 / 30.0, 16 / 30.0, 9 / 30.0, 4 / 30.0});
  params.temperature = 2;  // or their square roots taken
  ExpectDistribution(params, LogitsOf({1, 4, 9}), {1 / 6.0, 2 / 6.0, 3 / 6.0});
}

TEST(SamplerDistributionTest, TopPComesBeforeTemperatureUnlessItIsFirst) {
  SamplingParams params = {.temperature = 2, .top_p = 0.65f};
  const std::vector<float> logits = LogitsOf({1, 4, 3, 2});
  const double a = 2, b = std::sqrt(3.0), c = std::sqrt(2.0);
  // 0.4 and 0.3 reach 0.65; their roots are 0.607 of all, with 0.2's 0.837.
  ExpectDistribution(params, logits, {0, a / (a + b), b / (a + b), 0});
  params.order = SamplerOrder::kTopKFirst;
  ExpectDistribution(params, logits, {0, a / (a + b), b / (a + b), 0});
  params.order = SamplerOrder::kTemperatureFirst;
  const double sum = a + b + c;
  ExpectDistribution(params, logits, {0, a / sum, b / sum, c / sum});
}

TEST(SamplerDistributionTest, TopKComesBeforeTopPIfItIsFirst) {
  SamplingParams params = {.top_k = 3, .top_p = 0.75f};
  const std::vector<float> logits = LogitsOf({10, 40, 30, 20});
  // 0.4 and 0.3 are less than 0.75 of all, but 7/9 of the three.
  ExpectDistribution(params, logits, {0, 4 / 9.0, 3 / 9.0, 2 / 9.0});
  params.order = SamplerOrder::kTopKFirst;
  ExpectDistribution(params, logits, {0, 4 / 7.0, 3 / 7.0, 0});
}

TEST(SamplerDistributionTest, TopK) {
  ExpectDistribution({.top_k = 2}, LogitsOf({1, 4, 3, 2}),
                     {0, 4 / 7.0, 3 / 7.0, 0});
}

TEST(SamplerDistributionTest, MinP) {
  SamplingParams params;
  params.min_p = 0.4f;
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {0, 4 / 9.0, 3 / 9.0, 2 / 9.0});
}

TEST(SamplerDistributionTest, TailFree) {
  SamplingParams params;
  params.tail_free_z = 0.9f;  // see tail_free_test
  ExpectDistribution(params, LogitsOf({0.06, 0.5, 0.04, 0.3, 0.1}),
                     {0, 0.625, 0, 0.375, 0});
}

TEST(SamplerDistributionTest, LocallyTypical) {
  SamplingParams params;
  params.typical_p = 0.5f;  // see locally_typical_test
  ExpectDistribution(params, LogitsOf({0.2, 0.4, 0.2, 0.2}),
                     {1 / 3.0, 0, 1 / 3.0, 1 / 3.0});
}

TEST(SamplerDistributionTest, Mirostat2) {
  SamplingParams params;
  params.mirostat = {.version = 2, .tau = 1.1f};  // at first, 2.2 bits
  ExpectDistribution(params, LogitsOf({0.125, 0.5, 0.25, 0.125}),
                     {0, 2 / 3.0, 1 / 3.0, 0});
}

TEST(SamplerDistributionTest, Mirostat1) {
  // Odds 1, 1/4, 1/9, ...: s = 2, and with mu = 2 of 1000 tokens
  // (4 / (1 - 1/1000))^(1/2) = 2.001 are left.
  std::vector<double> odds;
  for (int i = 1; i <= 1000; ++i) odds.push_back(1.0 / i / i);
  SamplingParams params;
  params.mirostat = {.version = 1, .tau = 1};
  std::vector<double> probabilities(1000);
  probabilities[0] = 0.8;
  probabilities[1] = 0.2;
  ExpectDistribution(params, LogitsOf(odds), probabilities);
}

TEST(SamplerDistributionTest, MirostatLooksAtWhatTheTemperatureMakes) {
  SamplingParams params = {.temperature = 0.5f};
  // Odds 4, 3, 2, 1 squared: 16, 9, 4, 1 of 30; 2.907 bits are 4 of 30.
  params.mirostat = {.version = 2, .tau = 1.4f};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {0, 16 / 25.0, 9 / 25.0, 0});
}

TEST(SamplerDistributionTest, BiasMultipliesOdds) {
  SamplingParams params;
  params.logit_bias = {{0, static_cast<float>(std::log(5.0))}};
  ExpectDistribution(params, LogitsOf({1, 3, 2}), {0.5, 0.3, 0.2});
}

TEST(SamplerDistributionTest, RepetitionTakesTheRootOfOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.repetition_penalty = 2;
  // 16 becomes 4, as its logit is halved; 1/2 becomes 1/4.
  ExpectDistribution(params, LogitsOf({16, 0.5, 3.75}),
                     {4 / 8.0, 0.25 / 8, 3.75 / 8}, {1, 0});
}

TEST(SamplerDistributionTest, PresenceAndFrequencyDivideOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.presence_penalty = std::log(2.0f);
  params.frequency_penalty = std::log(3.0f);
  // 0: twice: 90 / 2 / 9; 1: once: 18 / 2 / 3.
  ExpectDistribution(params, LogitsOf({90, 18, 2}), {0.5, 0.3, 0.2}, {0, 1, 0});
}

TEST(SamplerDistributionTest, OlderTokensCountLessIfCountsDecay) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.frequency_penalty = std::log(4.0f);
  params.penalty_decay = 0.5f;
  // 0, one token ago: 10 / 4^0.5; 1, the last: 12 / 4.
  ExpectDistribution(params, LogitsOf({10, 12, 2}), {0.5, 0.3, 0.2}, {0, 1});
}

TEST(SamplerDistributionTest, BlanksAndDigitsArePresentButNotFrequent) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.presence_penalty = std::log(2.0f);
  params.frequency_penalty = std::log(3.0f);
  params.exempt_blanks_and_digits = true;
  const SamplingVocabulary vocabulary = {.num_ids = 3,
                                         .blanks_and_digits = {0}};
  // 0, a blank, twice: 10 / 2; 1, once: 18 / 2 / 3.
  ExpectDistribution(params, vocabulary, LogitsOf({10, 18, 2}), {0.5, 0.3, 0.2},
                     {0, 1, 0});
}

// The prompt said 0 and the answer, so far, 1.
TEST(SamplerDistributionTest, PenaltiesLookAtWhatTheirScopeSays) {
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

TEST(SamplerDistributionTest, SequencesDivideOdds) {
  SamplingParams params;
  params.penalty_scope = PenaltyScope::kPrompt;
  params.sequence_repetition = {.flat_penalty = std::log(2.0f),
                                .stacking_penalty = std::log(2.0f),
                                .min_length = 2};
  // 1 2 went on with 0: a sequence of three, 2 * 2^3.
  ExpectDistribution(params, LogitsOf({80, 3, 2}), {0.5, 0.3, 0.2},
                     {1, 2, 0, 1, 2});
}

TEST(SamplerDistributionTest, BannedAndAllowedTokens) {
  SamplingParams params;
  params.banned_tokens = {1};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}),
                     {1 / 6.0, 0, 3 / 6.0, 2 / 6.0});
  params.allowed_tokens = {1, 2, 3};
  ExpectDistribution(params, LogitsOf({1, 4, 3, 2}), {0, 0, 3 / 5.0, 2 / 5.0});
}

TEST(SamplerDistributionTest, AnAnswerThatNeverEndsIsDrawnFromTheRest) {
  SamplingParams params;
  params.never_end = true;
  const SamplingVocabulary vocabulary = {.num_ids = 4, .end_of_text = 1};
  ExpectDistribution(params, vocabulary, LogitsOf({1, 4, 3, 2}),
                     {1 / 6.0, 0, 3 / 6.0, 2 / 6.0});
}

// RWKV's own, of a text that said 1 twice: odds divided by
// e^(0.2 + 0.2 (1 + 0.996)); then 0.85 of all.
TEST(SamplerDistributionTest, TheRwkvPreset) {
  SamplingParams params = RwkvPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const double left = 40 * std::exp(-0.2 - 0.2 * 1.996);  // 21.98
  // 35, 25 and 21.98 are 0.85 of 96.98 only with the 10.
  ASSERT_LT((35 + 25 + left) / (35 + 25 + left + 15), 0.85);
  const double sum = 35 + 25 + left + 10;
  ExpectDistribution(params, LogitsOf({35, 40, 25, 10, 5}),
                     {35 / sum, left / sum, 25 / sum, 10 / sum, 0}, {1, 1});
}

// That of its chat: the end, 0, is left out; of a text that said 1 once, odds
// divided by e; then 0.3 of all.
TEST(SamplerDistributionTest, TheRwkvChatPreset) {
  SamplingParams params = RwkvChatPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const SamplingVocabulary vocabulary = {.num_ids = 6, .end_of_text = 0};
  // 60 / e = 22.07 comes third of 22.07 + 30 + 25 + 20 + 15 = 112.07, of which
  // 30 is 0.268, and with 25 0.491.
  ExpectDistribution(params, vocabulary, LogitsOf({500, 60, 30, 25, 20, 15}),
                     {0, 0, 30 / 55.0, 25 / 55.0, 0, 0}, {1});
}

// smolrsrwkv's: logit / 1.3, then the 40 likeliest, 0.95 of these, squared by
// 1/0.8.
TEST(SamplerDistributionTest, TheSmolrsrwkvPreset) {
  SamplingParams params = SmolrsrwkvPreset();
  params.penalty_scope = PenaltyScope::kPrompt;
  const double repeated = std::pow(60, 1 / 1.3);  // 23.3
  std::vector<double> odds = {60, 50, 20};
  odds.resize(60, 0.1);
  // 50, 23.3 and 20 are 0.962 of the 97 that 40 tokens make up, and the first
  // two 0.756.
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
