// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/truncation.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using testing::LogitsOf;

std::vector<int32_t> Left(const std::vector<float>& logits,
                          const SamplingParams& params, double scale = 1) {
  return testing::Left(
      logits, [&](Distribution* d) { Truncate(params, d); }, scale);
}

TEST(TruncationTest, DefaultsKeepEveryFiniteLogit) {
  EXPECT_THAT(Left({1.0f, testing::kNan, -200.0f}, {}), ElementsAre(0, 2));
}

// Top-p keeps 1 and 3. If top-k is first, 1 alone reaches 0.6: it is 0.4 of
// 0.65.
TEST(TruncationTest, OrderDecidesBetweenTopPAndTopKFirst) {
  const std::vector<float> logits = LogitsOf({0.2, 0.4, 0.15, 0.25});
  SamplingParams params = {.top_k = 2, .top_p = 0.6f};
  EXPECT_THAT(Left(logits, params), ElementsAre(1, 3));
  params.order = SamplerOrder::kTopKFirst;
  EXPECT_THAT(Left(logits, params), ElementsAre(1));
  params.order = SamplerOrder::kTemperatureFirst;
  EXPECT_THAT(Left(logits, params), ElementsAre(1));
}

// Of all four tokens, the three of 0.2 are typical.
TEST(TruncationTest, TypicalAppliesAfterTopK) {
  const std::vector<float> logits = LogitsOf({0.2, 0.4, 0.2, 0.2});
  SamplingParams params = {.order = SamplerOrder::kTopKFirst};
  params.typical_p = 0.5f;
  EXPECT_THAT(Left(logits, params), ElementsAre(0, 2, 3));
  params.top_k = 2;  // keeps 0 and 1 with 1/3 and 2/3; 1 is typical
  EXPECT_THAT(Left(logits, params), ElementsAre(1));
}

// The probabilities of tail_free_test.cc.
TEST(TruncationTest, TailFreeAppliesBeforeTypical) {
  const std::vector<float> logits = LogitsOf({0.5, 0.3, 0.1, 0.06, 0.04});
  SamplingParams params;
  params.tail_free_z = 0.9f;  // keeps 0 and 1
  EXPECT_THAT(Left(logits, params), ElementsAre(0, 1));
  params.typical_p = 0.3f;  // keeps 0, which has 5/8 of these
  EXPECT_THAT(Left(logits, params), ElementsAre(0));
}

TEST(TruncationTest, MinPAppliesLast) {
  const std::vector<float> logits = LogitsOf({0.5, 0.3, 0.1, 0.06, 0.04});
  SamplingParams params = {.top_k = 3};
  params.min_p = 0.55f;
  EXPECT_THAT(Left(logits, params), ElementsAre(0, 1));
  params.min_p = 0.15f;
  EXPECT_THAT(Left(logits, params), ElementsAre(0, 1, 2));
}

// Computes the definitions of top-p and then top-k by sorting all tokens.
std::vector<int32_t> ByDefinition(const std::vector<float>& logits, float top_p,
                                  int32_t top_k) {
  std::vector<int32_t> ids = testing::Ranked(logits);
  const auto probabilities = testing::ProbabilitiesOf(ids, logits);
  if (top_p < 1) {
    long double sum = 0;
    size_t n = 0;
    while (n < ids.size() && sum < top_p) sum += probabilities[n++];
    while (n < ids.size() && logits[ids[n]] == logits[ids[n - 1]]) ++n;
    ids.resize(n);
  }
  if (top_k > 0 && static_cast<size_t>(top_k) < ids.size()) ids.resize(top_k);
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(TruncationTest, EqualsDefinitionOnRandomRows) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<float> logits =
        testing::RandomRow(random, 1 + random() % 400);
    const float top_p =
        random() % 4 == 0 ? 1 : (1 + random() % 9999) / 10000.003f;
    const int32_t top_k = random() % 2 == 0 ? 0 : random() % 50;
    EXPECT_EQ(Left(logits, {.top_k = top_k, .top_p = top_p}),
              ByDefinition(logits, top_p, top_k))
        << "round " << round << " top_p " << top_p << " top_k " << top_k;
  }
}

}  // namespace
}  // namespace rwkvd
