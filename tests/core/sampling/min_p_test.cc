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

std::vector<int32_t> MinP(const std::vector<float>& logits, double p,
                          double scale = 1) {
  return Left(
      logits, [p](Distribution* d) { KeepMinP(p, d); }, scale);
}

TEST(MinPTest, KeepsTokensLikelyRelativeToLikeliest) {
  const std::vector<float> logits = LogitsOf({40, 9, 4, 1});
  EXPECT_THAT(MinP(logits, 0.2), ElementsAre(0, 1));
  EXPECT_THAT(MinP(logits, 0.23), ElementsAre(0));
  EXPECT_THAT(MinP(logits, 0.09), ElementsAre(0, 1, 2));
  EXPECT_THAT(MinP(logits, 0.01), ElementsAre(0, 1, 2, 3));
}

TEST(MinPTest, TokensExactlyAtThresholdAreKept) {
  EXPECT_THAT(MinP({3.0f, 2.0f, 3.0f}, 1), ElementsAre(0, 2));
}

TEST(MinPTest, UsesProbabilitiesOfScale) {
  // Odds of 4 and 1 to the power of 1/2 are 2 and 1.
  EXPECT_THAT(MinP(LogitsOf({4, 1}), 0.4, 0.5), ElementsAre(0, 1));
  EXPECT_THAT(MinP(LogitsOf({4, 1}), 0.6, 0.5), ElementsAre(0));
}

TEST(MinPTest, EqualsDefinitionOnRandomRows) {
  std::mt19937 random(6);
  for (int round = 0; round < 500; ++round) {
    const std::vector<float> logits =
        testing::RandomRow(random, 1 + random() % 400);
    const double p = (1 + random() % 9999) / 10000.0003;
    std::vector<int32_t> expected;
    const std::vector<int32_t> ids = testing::Ranked(logits);
    for (const int32_t id : ids) {
      if (std::exp(static_cast<long double>(logits[id]) - logits[ids[0]]) >=
          p) {
        expected.push_back(id);
      }
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(MinP(logits, p), expected) << round << " " << p;
  }
}

}  // namespace
}  // namespace rwkvd
