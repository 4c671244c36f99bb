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

std::vector<int32_t> TopP(const std::vector<float>& logits, double p,
                          double scale = 1) {
  return Left(
      logits, [p](Distribution* d) { KeepTopP(p, d); }, scale);
}

TEST(TopPTest, KeepsTokensUntilSumReachesP) {
  const std::vector<float> logits = LogitsOf({0.05, 0.5, 0.15, 0.3});
  EXPECT_THAT(TopP(logits, 0.01), ElementsAre(1));
  EXPECT_THAT(TopP(logits, 0.49), ElementsAre(1));
  EXPECT_THAT(TopP(logits, 0.51), ElementsAre(1, 3));
  EXPECT_THAT(TopP(logits, 0.79), ElementsAre(1, 3));
  EXPECT_THAT(TopP(logits, 0.81), ElementsAre(1, 2, 3));
  EXPECT_THAT(TopP(logits, 0.96), ElementsAre(0, 1, 2, 3));
}

TEST(TopPTest, UsesProbabilitiesOfScale) {
  // Odds of 1, 4, 3, 2 to the power of 2 are 1, 16, 9, 4 of 30.
  const std::vector<float> logits = LogitsOf({1, 4, 3, 2});
  EXPECT_THAT(TopP(logits, 0.52, 2), ElementsAre(1));
  EXPECT_THAT(TopP(logits, 0.54, 2), ElementsAre(1, 2));
  EXPECT_THAT(TopP(logits, 0.84, 2), ElementsAre(1, 2, 3));
}

TEST(TopPTest, SumExactlyAtPSuffices) {
  // The only finite weight is exactly the sum of all.
  EXPECT_THAT(TopP({8.0f}, 0.5), ElementsAre(0));
  EXPECT_THAT(TopP({8.0f, -800.0f}, 0.9999), ElementsAre(0));
}

TEST(TopPTest, TokensAsLikelyAsLastAreKept) {
  EXPECT_THAT(TopP(LogitsOf({0.2, 0.4, 0.2, 0.2}), 0.5),
              ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(TopP(std::vector<float>(100, 1.5f), 0.1).size(), 100);
}

// Computes the definition of top-p by sorting all tokens.
std::vector<int32_t> ByDefinition(const std::vector<float>& logits, double p) {
  std::vector<int32_t> ids = testing::Ranked(logits);
  const auto probabilities = testing::ProbabilitiesOf(ids, logits);
  long double sum = 0;
  size_t n = 0;
  while (n < ids.size() && sum < p) sum += probabilities[n++];
  while (n < ids.size() && logits[ids[n]] == logits[ids[n - 1]]) ++n;
  ids.resize(n);
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(TopPTest, EqualsDefinitionOnRandomRows) {
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<float> logits =
        testing::RandomRow(random, 1 + random() % 400);
    // Not a fraction that a sum of few equal probabilities equals exactly.
    const double p = (1 + random() % 9999) / 10000.0003;
    EXPECT_EQ(TopP(logits, p), ByDefinition(logits, p)) << round << " " << p;
  }
}

TEST(TopPTest, EqualsDefinitionOnFlatWorldVocabulary) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.5f);
  std::vector<float> logits(65536);
  for (float& logit : logits) logit = normal(random);
  EXPECT_EQ(TopP(logits, 0.9), ByDefinition(logits, 0.9));
}

}  // namespace
}  // namespace rwkvd
