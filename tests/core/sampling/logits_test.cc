// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

double LogProbabilityOf(const std::vector<float>& logits, int32_t id) {
  return LogProbability(logits, ComputeLogSoftmax(logits), id);
}

std::vector<int32_t> Likeliest(const std::vector<float>& logits, int64_t n) {
  std::vector<int32_t> ids = {99};
  LikeliestIds(logits, n, &ids);
  return ids;
}

// Returns logits with few distinct values, so that ties are common.
std::vector<float> RandomLogits(std::mt19937& random, size_t size) {
  std::vector<float> logits(size);
  for (float& logit : logits) logit = static_cast<int>(random() % 9) - 4.0f;
  return logits;
}

TEST(LogitsTest, AllFiniteFindsEveryNonFiniteLogit) {
  for (const size_t size : {1, 15, 16, 17, 64, 100}) {
    std::vector<float> logits(size, std::numeric_limits<float>::max());
    logits[size / 2] = -std::numeric_limits<float>::max();
    EXPECT_TRUE(AllFinite(logits));
    for (size_t i = 0; i < size; ++i) {
      for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
        const float before = std::exchange(logits[i], bad);
        EXPECT_FALSE(AllFinite(logits)) << i << " of " << size;
        logits[i] = before;
      }
    }
  }
}

TEST(LogitsTest, GreedyIdIsLowestIdOfLargestLogits) {
  EXPECT_EQ(GreedyId({1.0f, 3.0f, 2.0f, 3.0f}), 1);
  EXPECT_EQ(GreedyId({-5.0f, -7.0f}), 0);
}

TEST(LogitsTest, GreedyIdSkipsNonFiniteLogits) {
  EXPECT_EQ(GreedyId({kNan, kInfinity, -8.0f, -kInfinity, -7.0f}), 4);
  EXPECT_EQ(GreedyId({kNan, kInfinity}), 0);
}

TEST(LogitsTest, LogProbabilitiesMatchKnownOdds) {
  // Odds 1 : 2 : 5.
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f)};
  EXPECT_NEAR(LogProbabilityOf(logits, 0), std::log(1 / 8.0), 1e-7);
  EXPECT_NEAR(LogProbabilityOf(logits, 1), std::log(2 / 8.0), 1e-7);
  EXPECT_NEAR(LogProbabilityOf(logits, 2), std::log(5 / 8.0), 1e-7);
}

TEST(LogitsTest, LogProbabilitiesSumToOne) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 5);
  std::vector<float> logits(65536);
  for (float& logit : logits) logit = normal(random);
  const LogSoftmax log_softmax = ComputeLogSoftmax(logits);
  double sum = 0;
  for (int32_t id = 0; id < 65536; ++id) {
    sum += std::exp(LogProbability(logits, log_softmax, id));
  }
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(LogitsTest, LargeLogitsKeepPrecision) {
  EXPECT_NEAR(LogProbabilityOf({1e30f, 1e30f}, 1), std::log(0.5), 1e-15);
  EXPECT_NEAR(LogProbabilityOf({3e38f, -3e38f}, 1), -6e38, 1e32);
  EXPECT_NEAR(LogProbabilityOf({1000.0f, 999.0f}, 1),
              -1 - std::log1p(std::exp(-1.0)), 1e-15);
}

TEST(LogitsTest, LogProbabilityIsNeverAboveZero) {
  EXPECT_EQ(LogProbabilityOf({50.0f, -50.0f}, 0), -std::exp(-100.0) * 0);
  EXPECT_LE(LogProbabilityOf({0.3f, -40.0f}, 0), 0);
  EXPECT_EQ(LogProbabilityOf({-3.0f}, 0), 0);
}

TEST(LogitsTest, NonFiniteLogitsHaveProbabilityZero) {
  const std::vector<float> logits = {kNan, 1.0f, kInfinity, 1.0f, -kInfinity};
  EXPECT_NEAR(LogProbabilityOf(logits, 1), std::log(0.5), 1e-15);
  for (const int32_t id : {0, 2, 4}) {
    EXPECT_EQ(LogProbabilityOf(logits, id),
              -std::numeric_limits<double>::infinity());
  }
  EXPECT_EQ(LogProbabilityOf({kNan, kNan}, 0),
            -std::numeric_limits<double>::infinity());
}

TEST(LogitsTest, LikeliestIdsAreRankedWithTiesByLowerId) {
  EXPECT_THAT(Likeliest({1.0f, 3.0f, 2.0f, 3.0f, 3.0f}, 2), ElementsAre(1, 3));
  EXPECT_THAT(Likeliest({1.0f, 3.0f, 2.0f}, 5), ElementsAre(1, 2, 0));
  EXPECT_THAT(Likeliest({1.0f, kNan, 2.0f, kInfinity}, 3), ElementsAre(2, 0));
  EXPECT_THAT(Likeliest({1.0f}, 0), IsEmpty());
}

TEST(LogitsTest, LikeliestIdsEqualStableSort) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const std::vector<float> logits = RandomLogits(random, 1 + random() % 50);
    std::vector<int32_t> sorted(logits.size());
    for (size_t i = 0; i < sorted.size(); ++i) sorted[i] = i;
    std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) {
      return logits[a] > logits[b];
    });
    EXPECT_EQ(GreedyId(logits), sorted[0]);
    const size_t n = random() % (logits.size() + 1);
    sorted.resize(n);
    EXPECT_EQ(Likeliest(logits, n), sorted);
  }
}

}  // namespace
}  // namespace rwkvd
