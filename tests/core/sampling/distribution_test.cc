// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/distribution.h"

#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using testing::kInfinity;
using testing::kNan;
using testing::LogitsOf;
using testing::RandomRow;

TEST(DistributionTest, ResetKeepsEveryFiniteLogit) {
  Distribution distribution;
  const std::vector<float> row = {1.0f, kNan, -kInfinity, -200.0f, kInfinity};
  distribution.Reset(row, 1);
  EXPECT_FALSE(distribution.empty());
  EXPECT_THAT(testing::IdsOf(&distribution), ElementsAre(0, 3));
  const std::vector<float> none = {kNan, kInfinity, -kInfinity};
  distribution.Reset(none, 1);
  EXPECT_TRUE(distribution.empty());
  EXPECT_EQ(distribution.Sum(), 0);
}

TEST(DistributionTest, WeightsAreProbabilitiesUpToAFactor) {
  Distribution distribution;
  const std::vector<float> row = LogitsOf({0.1, 0.7, 0.2});
  distribution.Reset(row, 2);
  EXPECT_NEAR(distribution.Sum(), (0.01 + 0.49 + 0.04) / 0.49, 1e-6);
  const auto candidates = distribution.candidates();
  EXPECT_NEAR(candidates[0].weight, 0.01 / 0.49, 1e-6);
  EXPECT_EQ(candidates[1].weight, 1);
  EXPECT_NEAR(candidates[2].weight, 0.04 / 0.49, 1e-6);
}

TEST(DistributionTest, TokenAtFollowsCumulativeWeights) {
  // The weights are exactly 1, 2, 0, 1: a quarter, two quarters, none, a
  // quarter.
  const std::vector<float> row = {0, static_cast<float>(std::log(2.0)),
                                  -kInfinity, 0};
  for (const bool listed : {false, true}) {
    Distribution distribution;
    distribution.Reset(row, 1);
    if (listed) distribution.candidates();
    EXPECT_EQ(distribution.TokenAt(0), 0);
    EXPECT_EQ(distribution.TokenAt(0.2499), 0);
    EXPECT_EQ(distribution.TokenAt(0.2501), 1);
    EXPECT_EQ(distribution.TokenAt(0.7499), 1);
    EXPECT_EQ(distribution.TokenAt(0.7501), 3);
    EXPECT_EQ(distribution.TokenAt(1 - 0x1p-53), 3);
  }
}

TEST(DistributionTest, TokenAtIsTheSameForRowAndCandidates) {
  std::mt19937 random(12);
  Distribution whole, listed;
  for (int round = 0; round < 300; ++round) {
    const std::vector<float> row = RandomRow(random, 1 + random() % 500);
    whole.Reset(row, 0.8);
    listed.Reset(row, 0.8);
    listed.candidates();
    for (int i = 0; i < 20; ++i) {
      // No multiple of 1/9973 is so close to a boundary that the order of
      // additions matters.
      const double uniform = (random() % 9973) / 9973.0;
      EXPECT_EQ(whole.TokenAt(uniform), listed.TokenAt(uniform));
    }
  }
}

TEST(DistributionTest, SetScaleRecomputesWeights) {
  const std::vector<float> row = LogitsOf({0.1, 0.7, 0.2});
  for (const bool listed : {false, true}) {
    Distribution distribution;
    distribution.Reset(row, 1);
    if (listed) distribution.candidates();
    distribution.SetScale(2);
    EXPECT_NEAR(distribution.Sum(), (0.01 + 0.49 + 0.04) / 0.49, 1e-6);
  }
}

TEST(DistributionTest, SetScaleAfterRemovalUsesRemainingCandidates) {
  const std::vector<float> row = {1000.0f, 0.0f, -1.0f};
  Distribution distribution;
  distribution.Reset(row, 1);
  distribution.RemoveIf([](const Candidate& c) { return c.id == 0; });
  distribution.SetScale(2);
  EXPECT_NEAR(distribution.Sum(), 1 + std::exp(-2.0), 1e-12);
}

TEST(DistributionTest, ReturnsLogProbabilitiesAndLikeliestTokens) {
  const std::vector<float> row = LogitsOf({1, 4, 3, 2, 0});
  for (const bool listed : {false, true}) {
    Distribution distribution;
    distribution.Reset(row, 1);
    if (listed) distribution.candidates();
    EXPECT_NEAR(distribution.LogProbability(2), std::log(0.3), 1e-6);
    EXPECT_EQ(distribution.LogProbability(4), -INFINITY);
    std::vector<TokenLogprob> top;
    distribution.Likeliest(3, &top);
    ASSERT_EQ(top.size(), 3);
    EXPECT_EQ(top[0].id, 1);
    EXPECT_NEAR(top[0].logprob, std::log(0.4), 1e-6);
    EXPECT_EQ(top[2].id, 3);
    EXPECT_NEAR(top[2].logprob, std::log(0.2), 1e-6);
    distribution.Likeliest(30, &top);
    EXPECT_EQ(top.size(), 4);
  }
}

TEST(DistributionTest, AtLeastNLogitsReachLogitOfRank) {
  std::mt19937 random(13);
  Distribution distribution;
  for (int round = 0; round < 200; ++round) {
    const std::vector<float> row = RandomRow(random, 1 + random() % 3000);
    distribution.Reset(row, 1);
    const int64_t n = 1 + random() % testing::Ranked(row).size();
    const float logit = distribution.LogitOfRank(n);
    EXPECT_LE(logit, row[testing::Ranked(row)[n - 1]]);
  }
}

TEST(FloatBelowTest, ResultIsNeverAboveArgument) {
  EXPECT_EQ(FloatBelow(0.5), 0.5f);
  EXPECT_LT(FloatBelow(0.1), 0.1);
  EXPECT_EQ(FloatBelow(-1e300), -kInfinity);
  EXPECT_EQ(FloatBelow(-INFINITY), -kInfinity);
}

}  // namespace
}  // namespace rwkvd
