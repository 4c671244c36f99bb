// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prefill_rate.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(PrefillRateTest, UnknownRateIsWithoutBound) {
  EXPECT_EQ(PrefillRate().TokensIn(absl::Seconds(1)), PrefillRate::kMaxTokens);
  PrefillRate rate;
  rate.Observe(10, 0);  // the clock does not advance
  EXPECT_EQ(rate.TokensIn(absl::Seconds(1)), PrefillRate::kMaxTokens);
}

TEST(PrefillRateTest, StepsCountByTheirDuration) {
  PrefillRate rate;
  rate.Observe(256, 0.5);
  EXPECT_EQ(rate.TokensIn(absl::Seconds(10)), 5120);
  rate.Observe(1, 0.001);  // the end of a prompt
  EXPECT_NEAR(rate.TokensIn(absl::Seconds(10)), 5120, 30);
}

TEST(PrefillRateTest, RecentStepsReplaceOlderOnes) {
  PrefillRate rate;
  for (int i = 0; i < 100; ++i) rate.Observe(256, 0.5);
  for (int i = 0; i < 24; ++i) rate.Observe(16, 0.05);
  EXPECT_LT(rate.TokensIn(absl::Seconds(1)), 400);
  EXPECT_GT(rate.TokensIn(absl::Seconds(1)), 320);
}

TEST(PrefillRateTest, TimeWithoutEndAndPastTimesAreBounds) {
  PrefillRate rate;
  rate.Observe(256, 0.5);
  EXPECT_EQ(rate.TokensIn(absl::InfiniteDuration()), PrefillRate::kMaxTokens);
  EXPECT_EQ(rate.TokensIn(-absl::Seconds(1)), 0);
  EXPECT_EQ(rate.TokensIn(-absl::InfiniteDuration()), 0);
}

}  // namespace
}  // namespace rwkvd
