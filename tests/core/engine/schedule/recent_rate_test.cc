// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/recent_rate.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

absl::Time Second(double seconds) {
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

TEST(RecentRateTest, IsTheMeanOfTenSecondsAndTheCurrentOne) {
  RecentRate rate;
  EXPECT_EQ(rate.PerSecond(Second(5)), 0);
  for (int second = 0; second < 30; ++second) {
    rate.Add(3, Second(second));
    rate.Add(4, Second(second + 0.5));
  }
  EXPECT_DOUBLE_EQ(rate.PerSecond(Second(30)), 7);
  EXPECT_DOUBLE_EQ(rate.PerSecond(Second(29.5)), (10 * 7 + 7) / 10.5);
}

TEST(RecentRateTest, ForgetsWhatIsOlder) {
  RecentRate rate;
  rate.Add(100, Second(0.9));
  EXPECT_DOUBLE_EQ(rate.PerSecond(Second(10)), 10);
  EXPECT_EQ(rate.PerSecond(Second(11)), 0);
  EXPECT_EQ(rate.PerSecond(Second(1000)), 0);
  // The slot of a second is used again.
  rate.Add(5, Second(1001));
  EXPECT_DOUBLE_EQ(rate.PerSecond(Second(1002)), 0.5);
}

TEST(RecentRateTest, ClockThatIsSetBackDoesNotCountTheFuture) {
  RecentRate rate;
  rate.Add(100, Second(50));
  EXPECT_EQ(rate.PerSecond(Second(40)), 0);
  rate.Add(10, Second(-3));
  EXPECT_DOUBLE_EQ(rate.PerSecond(Second(-2)), 1);
}

}  // namespace
}  // namespace rwkvd
