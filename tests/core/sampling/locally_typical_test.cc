// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <random>
#include <vector>

#include "core/sampling/truncation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using testing::Left;
using testing::LogitsOf;

std::vector<int32_t> Typical(const std::vector<float>& logits, double p,
                             double scale = 1) {
  return Left(
      logits, [p](Distribution* d) { KeepLocallyTypical(p, d); }, scale);
}

// For probabilities 0.4, 0.2, 0.2, 0.2, -ln p is 0.916 and 1.609 and the
// entropy 1.332, so the three are closer to it (0.277) than the likeliest
// token (0.416).
TEST(LocallyTypicalTest, LikeliestTokenMayBeRemoved) {
  const std::vector<float> logits = LogitsOf({0.2, 0.4, 0.2, 0.2});
  EXPECT_THAT(Typical(logits, 0.59), ElementsAre(0, 2, 3));
  EXPECT_THAT(Typical(logits, 0.61), ElementsAre(0, 1, 2, 3));
}

TEST(LocallyTypicalTest, PeakIsTypical) {
  EXPECT_THAT(Typical(LogitsOf({0.01, 0.97, 0.01, 0.01}), 0.5), ElementsAre(1));
}

TEST(LocallyTypicalTest, TokensAsCloseAsLastAreKept) {
  EXPECT_THAT(Typical(std::vector<float>(5, 1.0f), 0.1).size(), 5);
  EXPECT_THAT(Typical(LogitsOf({0.2, 0.4, 0.2, 0.2}), 0.1),
              ElementsAre(0, 2, 3));
}

// Odds of 16, 4, 1 to the power of 1/2 are 4, 2, 1: -ln p is 0.560, 1.253,
// 1.946, and the entropy is 0.956.
TEST(LocallyTypicalTest, UsesProbabilitiesOfScale) {
  EXPECT_THAT(Typical(LogitsOf({16, 4, 1}), 0.25, 0.5), ElementsAre(1));
  EXPECT_THAT(Typical(LogitsOf({16, 4, 1}), 0.3, 0.5), ElementsAre(0, 1));
}

TEST(LocallyTypicalTest, EqualsDefinitionOnRandomRows) {
  std::mt19937 random(8);
  for (int round = 0; round < 500; ++round) {
    std::vector<float> logits = testing::RandomRow(random, 1 + random() % 300);
    const double mass = (1 + random() % 9999) / 10000.0003;
    const std::vector<int32_t> ids = testing::Ranked(logits);
    const auto p = testing::ProbabilitiesOf(ids, logits);
    long double entropy = 0;
    for (const long double q : p) entropy -= q > 0 ? q * std::log(q) : 0;
    std::map<long double, std::vector<size_t>> by_distance;
    std::map<float, long double> of_logit;  // equal logits get one distance
    for (size_t i = 0; i < ids.size(); ++i) {
      of_logit.try_emplace(logits[ids[i]], std::abs(-std::log(p[i]) - entropy));
      by_distance[of_logit[logits[ids[i]]]].push_back(i);
    }
    std::vector<int32_t> expected;
    long double sum = 0;
    for (const auto& [distance, indices] : by_distance) {
      if (sum >= mass) break;
      for (const size_t i : indices) {
        expected.push_back(ids[i]);
        sum += p[i];
      }
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(Typical(logits, mass), expected) << round << " " << mass;
  }
}

}  // namespace
}  // namespace rwkvd
