// SPDX-License-Identifier: Apache-2.0
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

std::vector<int32_t> TailFree(const std::vector<float>& logits, double z) {
  return Left(logits, [z](Distribution* d) { KeepTailFree(z, d); });
}

// Probabilities 0.5, 0.3, 0.1, 0.06, 0.04 have the differences 0.2, 0.2, 0.04,
// 0.02 and the second differences 0, 0.16, 0.02. Divided by their sum, 0.18,
// these add up to 0, 0.889, 1.
TEST(TailFreeTest, KeepsCandidatesUntilDifferencesReachZ) {
  const std::vector<float> logits = LogitsOf({0.06, 0.5, 0.04, 0.3, 0.1});
  EXPECT_THAT(TailFree(logits, 0.5), ElementsAre(1));
  EXPECT_THAT(TailFree(logits, 0.88), ElementsAre(1));
  EXPECT_THAT(TailFree(logits, 0.9), ElementsAre(1, 3));
  EXPECT_THAT(TailFree(logits, 0.99), ElementsAre(1, 3));
}

TEST(TailFreeTest, LikeliestIsAlwaysKept) {
  EXPECT_THAT(TailFree(LogitsOf({0.01, 0.98, 0.01}), 0.01), ElementsAre(1));
}

TEST(TailFreeTest, FlatDistributionHasNoTail) {
  EXPECT_THAT(TailFree(std::vector<float>(4, 2.0f), 0.3),
              ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(TailFree({1.0f, 0.0f}, 0.3), ElementsAre(0, 1));
}

TEST(TailFreeTest, VeryUnlikelyTokensAreAlwaysRemoved) {
  EXPECT_THAT(TailFree({0.0f, -15.9f}, 0.9999), ElementsAre(0, 1));
  EXPECT_THAT(TailFree({0.0f, -16.1f}, 0.9999), ElementsAre(0));
}

TEST(TailFreeTest, EqualsDefinitionOnRandomRows) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    const std::vector<float> logits =
        testing::RandomRow(random, 3 + random() % 100);
    const double z = (1 + random() % 9999) / 10000.0003;
    std::vector<int32_t> ids = testing::Ranked(logits);
    while (logits[ids.back()] < logits[ids[0]] - 16) ids.pop_back();
    const auto p = testing::ProbabilitiesOf(ids, logits);
    std::vector<long double> second;
    for (size_t i = 0; i + 2 < p.size(); ++i) {
      second.push_back(std::abs(p[i] - 2 * p[i + 1] + p[i + 2]));
    }
    const long double all = std::accumulate(second.begin(), second.end(), 0.0L);
    long double sum = 0;
    for (size_t i = 0; i < second.size() && all > 1e-9; ++i) {
      sum += second[i] / all;
      if (sum <= z) continue;
      ids.resize(std::max<size_t>(i, 1));
      break;
    }
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(TailFree(logits, z), ids) << round << " " << z;
  }
}

}  // namespace
}  // namespace rwkvd
