// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/slot_release_rate.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

absl::Time At(double seconds) {
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

TEST(SlotReleaseRateTest, HasNoEstimateBeforeAReleaseWhileFull) {
  SlotReleaseRate rate;
  EXPECT_FALSE(rate.TimeFor(1).has_value());
  rate.NoteReleased(1, At(5));  // other slots were free
  EXPECT_FALSE(rate.TimeFor(1).has_value());
  rate.SetFull(true, At(10));
  EXPECT_FALSE(rate.TimeFor(1).has_value());
  rate.NoteReleased(2, At(16));
  EXPECT_EQ(rate.TimeFor(1), absl::Seconds(3));
  EXPECT_EQ(rate.TimeFor(5), absl::Seconds(15));
}

TEST(SlotReleaseRateTest, TimeWithFreeSlotsDoesNotCount) {
  SlotReleaseRate rate;
  rate.SetFull(true, At(0));
  rate.NoteReleased(1, At(2));
  rate.SetFull(false, At(2));
  rate.SetFull(true, At(100));
  rate.SetFull(true, At(101));  // still
  rate.NoteReleased(1, At(102));
  EXPECT_EQ(rate.TimeFor(1), absl::Seconds(2));
}

TEST(SlotReleaseRateTest, FollowsRecentReleases) {
  SlotReleaseRate rate;
  rate.SetFull(true, At(0));
  for (int i = 1; i <= 200; ++i) rate.NoteReleased(1, At(i));
  for (int i = 1; i <= 200; ++i) rate.NoteReleased(1, At(200 + 4 * i));
  EXPECT_NEAR(absl::ToDoubleSeconds(*rate.TimeFor(1)), 4, 0.01);
}

TEST(SlotReleaseRateTest, ClockSetBackCountsAsNoTime) {
  SlotReleaseRate rate;
  rate.SetFull(true, At(10));
  rate.NoteReleased(1, At(3));
  EXPECT_EQ(rate.TimeFor(1), absl::ZeroDuration());
}

}  // namespace
}  // namespace rwkvd
