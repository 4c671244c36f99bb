// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/truncation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<int32_t> IdsOf(absl::Span<const Candidate> candidates) {
  std::vector<int32_t> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

std::vector<int32_t> Left(const std::vector<float>& logits, float top_p,
                          int32_t top_k) {
  Truncation truncation;
  return IdsOf(truncation.Apply(logits, top_p, top_k));
}

std::vector<float> LogitsOf(const std::vector<double>& odds) {
  std::vector<float> logits;
  for (const double odd : odds) {
    logits.push_back(odd == 0 ? -kInfinity : std::log(odd));
  }
  return logits;
}

// The definition, by sorting everything.
std::vector<int32_t> LeftByDefinition(const std::vector<float>& logits,
                                      float top_p, int32_t top_k) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  long double all = 0;
  for (const float logit : logits) {
    all += std::exp(static_cast<long double>(logit) - logits[ids[0]]);
  }
  if (top_p < 1) {
    long double sum = 0;
    size_t n = 0;
    while (n < ids.size() && sum < top_p * all) {
      sum +=
          std::exp(static_cast<long double>(logits[ids[n++]]) - logits[ids[0]]);
    }
    while (n < ids.size() && logits[ids[n]] == logits[ids[n - 1]]) ++n;
    ids.resize(n);
  }
  if (top_k > 0 && static_cast<size_t>(top_k) < ids.size()) ids.resize(top_k);
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(TruncationTest, WithoutLimitsEveryFiniteLogitIsLeft) {
  EXPECT_THAT(Left({1.0f, kNan, -kInfinity, -200.0f, kInfinity, 3.0f}, 1, 0),
              ElementsAre(0, 3, 5));
  EXPECT_THAT(Left({kNan, kInfinity, -kInfinity}, 0.5f, 2), IsEmpty());
}

TEST(TruncationTest, WeightsAreProbabilitiesUpToAFactor) {
  Truncation truncation;
  const auto candidates = truncation.Apply(LogitsOf({0.1, 0.7, 0.2}), 1, 0);
  ASSERT_EQ(candidates.size(), 3);
  EXPECT_NEAR(candidates[0].weight, 0.1 / 0.7, 1e-6);
  EXPECT_EQ(candidates[1].weight, 1);
  EXPECT_NEAR(candidates[2].weight, 0.2 / 0.7, 1e-6);
}

TEST(TruncationTest, TopPEndsWithTheTokenThatReachesIt) {
  const std::vector<float> logits = LogitsOf({0.05, 0.5, 0.15, 0.3});
  EXPECT_THAT(Left(logits, 0.01f, 0), ElementsAre(1));
  EXPECT_THAT(Left(logits, 0.49f, 0), ElementsAre(1));
  EXPECT_THAT(Left(logits, 0.51f, 0), ElementsAre(1, 3));
  EXPECT_THAT(Left(logits, 0.79f, 0), ElementsAre(1, 3));
  EXPECT_THAT(Left(logits, 0.81f, 0), ElementsAre(1, 2, 3));
  EXPECT_THAT(Left(logits, 0.96f, 0), ElementsAre(0, 1, 2, 3));
}

TEST(TruncationTest, TopPReachedExactlyIsReached) {
  // Weights 1, 1/2 and 1/2, exactly: the first makes up one half.
  const float half = -0.6931472f;
  ASSERT_EQ(std::exp(half), 0.5f);
  EXPECT_THAT(Left({half, 0.0f, half}, 0.5f, 0), ElementsAre(1));
  EXPECT_THAT(Left({8.0f}, 0.5f, 0), ElementsAre(0));
}

TEST(TruncationTest, TokensAsLikelyAsTheLastOfTopPStay) {
  EXPECT_THAT(Left(LogitsOf({0.2, 0.4, 0.2, 0.2}), 0.5f, 0),
              ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Left(std::vector<float>(100, 1.5f), 0.1f, 0).size(), 100);
}

TEST(TruncationTest, TopKBreaksTiesByLowerId) {
  EXPECT_THAT(Left({1.0f, 2.0f, 1.0f, 1.0f}, 1, 1), ElementsAre(1));
  EXPECT_THAT(Left({1.0f, 2.0f, 1.0f, 1.0f}, 1, 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(Left({1.0f, 2.0f}, 1, 7), ElementsAre(0, 1));
}

TEST(TruncationTest, TopPComesBeforeTopK) {
  // Top-p alone leaves 1 and 3. Were top-k first, 1 would reach 0.5 by itself.
  const std::vector<float> logits = LogitsOf({0.2, 0.4, 0.15, 0.25});
  EXPECT_THAT(Left(logits, 0.6f, 2), ElementsAre(1, 3));
  EXPECT_THAT(Left(logits, 0.6f, 1), ElementsAre(1));
}

TEST(TruncationTest, EqualsTheDefinitionOnRandomRows) {
  std::mt19937 random(3);
  Truncation truncation;  // one for all: nothing may leak between rows
  for (int round = 0; round < 2000; ++round) {
    // From rows where one token has it all to flat ones, with and without ties.
    const float spread = std::exp2(static_cast<int>(random() % 10) - 4);
    const bool ties = random() % 2 == 0;
    std::vector<float> logits(1 + random() % 400);
    std::normal_distribution<float> normal(0, spread);
    for (float& logit : logits) {
      logit = ties ? std::round(normal(random)) : normal(random);
    }
    const float top_p =
        random() % 4 == 0 ? 1 : (1 + random() % 9999) / 10000.0f;
    const int32_t top_k = random() % 2 == 0 ? 0 : random() % 50;
    EXPECT_EQ(IdsOf(truncation.Apply(logits, top_p, top_k)),
              LeftByDefinition(logits, top_p, top_k))
        << "round " << round << " top_p " << top_p << " top_k " << top_k;
  }
}

TEST(TruncationTest, EqualsTheDefinitionOnAFlatWorldVocabulary) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0, 0.5f);
  std::vector<float> logits(65536);
  for (float& logit : logits) logit = normal(random);
  EXPECT_EQ(Left(logits, 0.9f, 0), LeftByDefinition(logits, 0.9f, 0));
  EXPECT_EQ(Left(logits, 0.9f, 1000), LeftByDefinition(logits, 0.9f, 1000));
}

}  // namespace
}  // namespace rwkvd
