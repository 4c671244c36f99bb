// SPDX-License-Identifier: Apache-2.0
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "core/sampling/penalties.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Seen = std::map<int32_t, double>;

Seen CountsOf(TokenCounts& counts) {
  Seen seen;
  for (const TokenCounts::Entry& entry : counts.Current()) {
    seen[entry.id] = entry.count;
  }
  return seen;
}

TEST(TokenCountsTest, CountsEveryToken) {
  TokenCounts counts(0, 1);
  EXPECT_TRUE(counts.empty());
  for (const int32_t id : {5, 7, 5, 5}) counts.Add(id, 1);
  EXPECT_FALSE(counts.empty());
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 3}, {7, 1}}));
}

TEST(TokenCountsTest, EachFurtherTokenDecaysCounts) {
  TokenCounts counts(0, 0.5);
  for (const int32_t id : {5, 7, 5, 9}) counts.Add(id, 1);
  // Token 5 counts 1/8 + 1/2, token 7 counts 1/4.
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 0.625}, {7, 0.25}, {9, 1}}));
}

// A resumed sequence adds many tokens without reading counts in between.
TEST(TokenCountsTest, ReadingCountsDoesNotChangeThem) {
  std::mt19937 random(5);
  for (const int64_t window : {0, 16}) {
    TokenCounts asked(window, 0.996), left_alone(window, 0.996);
    for (int i = 0; i < 300; ++i) {
      const int32_t id = random() % 40;
      asked.Add(id, 1);
      left_alone.Add(id, 1);
      CountsOf(asked);
    }
    EXPECT_EQ(CountsOf(asked), CountsOf(left_alone));
  }
}

TEST(TokenCountsTest, ZeroDecayCountsOnlyLastToken) {
  TokenCounts counts(0, 0);
  for (const int32_t id : {5, 7, 7}) counts.Add(id, 1);
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 0}, {7, 1}}));
}

TEST(TokenCountsTest, TokensOutsideWindowAreRemoved) {
  TokenCounts counts(3, 1);
  for (const int32_t id : {5, 7, 5}) counts.Add(id, 1);
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 2}, {7, 1}}));
  counts.Add(7, 1);
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 1}, {7, 2}}));
  counts.Add(7, 1);
  counts.Add(7, 1);
  EXPECT_EQ(CountsOf(counts), (Seen{{7, 3}}));
}

TEST(TokenCountsTest, ZeroWeightTokenIsSeenZeroTimes) {
  TokenCounts counts(0, 0.5);
  counts.Add(5, 0);
  counts.Add(5, 0);
  EXPECT_EQ(CountsOf(counts), (Seen{{5, 0}}));
}

TEST(TokenCountsTest, CountsEqualDefinitionOnRandomTexts) {
  std::mt19937 random(10);
  for (int round = 0; round < 200; ++round) {
    const int64_t window = random() % 3 == 0 ? 0 : 1 + random() % 20;
    const double decay = (random() % 5) / 4.0;
    TokenCounts counts(window, decay);
    std::deque<int32_t> text;
    for (int i = 0; i < 100; ++i) {
      const int32_t id = random() % 8;
      counts.Add(id, id == 3 ? 0 : 1);
      text.push_front(id);
      if (window > 0 && text.size() > static_cast<size_t>(window)) {
        text.pop_back();
      }
      // Counts are read after some tokens only.
      if (random() % 3 != 0) continue;
      Seen expected;
      double worth = 1;
      for (const int32_t seen : text) {
        expected[seen] += seen == 3 ? 0 : worth;
        worth *= decay;
      }
      const Seen actual = CountsOf(counts);
      ASSERT_EQ(actual.size(), expected.size());
      for (const auto& [seen, count] : expected) {
        EXPECT_NEAR(actual.at(seen), count, 1e-12);
      }
    }
  }
}

}  // namespace
}  // namespace rwkvd
