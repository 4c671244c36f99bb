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
using testing::Ranked;

std::vector<int32_t> TopK(const std::vector<float>& logits, int64_t k) {
  return Left(logits, [k](Distribution* d) { KeepTopK(k, d); });
}

TEST(TopKTest, KeepsLikeliest) {
  const std::vector<float> logits = {0.5f, -2.0f, 7.0f, 3.0f};
  EXPECT_THAT(TopK(logits, 1), ElementsAre(2));
  EXPECT_THAT(TopK(logits, 3), ElementsAre(0, 2, 3));
  EXPECT_THAT(TopK(logits, 4), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(TopK(logits, 0x7fffffff), ElementsAre(0, 1, 2, 3));
}

TEST(TopKTest, TiesKeepLowerIds) {
  EXPECT_THAT(TopK({1.0f, 2.0f, 1.0f, 1.0f}, 1), ElementsAre(1));
  EXPECT_THAT(TopK({1.0f, 2.0f, 1.0f, 1.0f}, 3), ElementsAre(0, 1, 2));
}

TEST(TopKTest, NonFiniteLogitsAreNotCounted) {
  EXPECT_THAT(TopK({testing::kNan, 1.0f, testing::kInfinity, 0.0f}, 2),
              ElementsAre(1, 3));
  EXPECT_THAT(TopK({testing::kNan, 1.0f, -testing::kInfinity}, 3),
              ElementsAre(1));
}

TEST(TopKTest, EqualsStableSort) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    const std::vector<float> logits =
        testing::RandomRow(random, 1 + random() % 3000);
    std::vector<int32_t> expected = Ranked(logits);
    const size_t k = 1 + random() % (round % 2 == 0 ? 50 : 3000);
    if (k < expected.size()) expected.resize(k);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(TopK(logits, k), expected) << round;
  }
}

}  // namespace
}  // namespace rwkvd
