// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <vector>

#include "core/sampling/truncation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(KeyAtWeightTest, ReturnsFirstKeyThatReachesWeight) {
  const std::vector<KeyedWeight> items = {{3, 1}, {1, 2}, {2, 4}};
  for (const auto& [wanted, key] : {std::pair(0.5, 1.0),
                                    {2.0, 1.0},
                                    {2.5, 2.0},
                                    {6.0, 2.0},
                                    {6.5, 3.0},
                                    {7.0, 3.0},
                                    {99.0, 3.0}}) {
    std::vector<KeyedWeight> scratch = items;
    EXPECT_EQ(KeyAtWeight(wanted, &scratch), key) << wanted;
  }
}

TEST(KeyAtWeightTest, EqualsSortedReference) {
  std::mt19937 random(9);
  for (int round = 0; round < 1000; ++round) {
    // Keys cluster at very different distances, so that one bin gets most of
    // them. Weights are integers, so that sums are exact in any order.
    std::vector<KeyedWeight> items(1 + random() % 2000);
    double all = 0;
    for (KeyedWeight& item : items) {
      item.key = std::ldexp(random() % 1000, -static_cast<int>(random() % 60));
      if (round % 3 == 0) item.key = 1 + random() % 3;
      item.weight = random() % 5;
      all += item.weight;
    }
    std::vector<KeyedWeight> sorted = items;
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.key < b.key; });
    const double wanted = std::max(1.0, all * (random() % 101) / 100);
    double sum = 0;
    double expected = sorted.back().key;
    for (const KeyedWeight& item : sorted) {
      sum += item.weight;
      if (sum < wanted) continue;
      expected = item.key;
      break;
    }
    EXPECT_EQ(KeyAtWeight(wanted, &items), expected) << round;
  }
}

TEST(KeyAtWeightTest, EqualOrNearlyEqualKeysTerminate) {
  std::vector<KeyedWeight> items(1000, {7, 1});
  EXPECT_EQ(KeyAtWeight(500, &items), 7);
  items.assign(1000, {0, 1});
  items[3].key = 5e-324;
  EXPECT_EQ(KeyAtWeight(999, &items), 0);
}

}  // namespace
}  // namespace rwkvd
