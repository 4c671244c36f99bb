// SPDX-License-Identifier: Apache-2.0
#include "core/base/event.h"

#include <thread>

#include "core/base/monotonic_clock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(EventTest, WaitEndsWithoutTheEventWhenTheTimeHasPassed) {
  const Event event;
  const absl::Time begin = MonotonicNow();
  EXPECT_FALSE(event.WaitFor(absl::Milliseconds(2)));
  EXPECT_GE(MonotonicNow() - begin, absl::Milliseconds(2));
  EXPECT_FALSE(event.WaitFor(absl::ZeroDuration()));
  EXPECT_FALSE(event.WaitFor(-absl::InfiniteDuration()));
  EXPECT_FALSE(event.HasHappened());
}

TEST(EventTest, NotifyEndsAllWaits) {
  Event event;
  bool seen[2] = {};
  std::thread first([&] { seen[0] = event.WaitFor(absl::Hours(5)); });
  std::thread second(
      [&] { seen[1] = event.WaitFor(absl::InfiniteDuration()); });
  event.Notify();
  first.join();
  second.join();
  EXPECT_TRUE(seen[0] && seen[1] && event.HasHappened());
  EXPECT_TRUE(event.WaitFor(absl::ZeroDuration()));
}

TEST(PollUntilTest, EndsWithTheConditionOrTheTime) {
  int num_calls = 0;
  EXPECT_TRUE(PollUntil([&] { return ++num_calls == 3; }, absl::Hours(5)));
  EXPECT_EQ(num_calls, 3);
  const absl::Time begin = MonotonicNow();
  EXPECT_FALSE(PollUntil([] { return false; }, absl::Milliseconds(2)));
  EXPECT_GE(MonotonicNow() - begin, absl::Milliseconds(2));
  EXPECT_TRUE(PollUntil([] { return true; }, absl::ZeroDuration()));
}

}  // namespace
}  // namespace rwkvd
