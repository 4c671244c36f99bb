// SPDX-License-Identifier: Apache-2.0
#include "service/work_pool.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "core/base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kSmall = 100;
constexpr int64_t kLarge = 10 << 20;

// Keeps a thread of a lane busy until Release.
//
// Outlives its pool's last task. Not thread-safe.
class Blocker {
 public:
  Blocker(WorkPool* pool, int64_t bytes) {
    EXPECT_TRUE(pool->Add(bytes,
                          [this] {
                            begun_.Notify();
                            released_.WaitForNotification();
                          })
                    .ok());
    begun_.WaitForNotification();
  }
  ~Blocker() { Release(); }

  void Release() {
    if (!released_.HasBeenNotified()) released_.Notify();
  }

 private:
  absl::Notification begun_;
  absl::Notification released_;
};

int NiceOfThisThread() {
  return getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)));
}

TEST(WorkPoolTest, SmallTaskDoesNotWaitForLargeOnes) {
  Metrics metrics;
  WorkPool pool({}, &metrics);
  Blocker large(&pool, kLarge);
  absl::Notification ran;
  ASSERT_TRUE(pool.Add(kSmall, [&ran] { ran.Notify(); }).ok());
  ran.WaitForNotification();
}

TEST(WorkPoolTest, SmallerTaskOvertakesLargerOneOfItsLane) {
  Metrics metrics;
  WorkPool pool({}, &metrics);
  std::vector<int> order;
  absl::Notification done;
  {
    Blocker large(&pool, kLarge);
    ASSERT_TRUE(pool.Add(4 * kLarge, [&order] { order.push_back(4); }).ok());
    ASSERT_TRUE(
        pool.Add(100 * kLarge, [&order] { order.push_back(100); }).ok());
    ASSERT_TRUE(pool.Add(2 * kLarge, [&order] { order.push_back(2); }).ok());
    ASSERT_TRUE(pool.Add(1000 * kLarge, [&done] { done.Notify(); }).ok());
  }
  done.WaitForNotification();
  EXPECT_THAT(order, ElementsAre(2, 4, 100));
}

TEST(WorkPoolTest, TasksOfOneSizeRunInTheOrderOfTheirArrival) {
  Metrics metrics;
  WorkPool pool({}, &metrics);
  std::vector<int> order;
  absl::Notification done;
  {
    Blocker small(&pool, kSmall);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(pool.Add(kSmall, [&order, i] { order.push_back(i); }).ok());
    }
    ASSERT_TRUE(pool.Add(kSmall, [&done] { done.Notify(); }).ok());
  }
  done.WaitForNotification();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST(WorkPoolTest, FullQueueRefusesWithATimeToRetry) {
  Metrics metrics;
  WorkPool pool({.max_waiting = 2}, &metrics);
  Blocker small(&pool, kSmall);
  ASSERT_TRUE(pool.Add(kSmall, [] {}).ok());
  ASSERT_TRUE(pool.Add(kSmall, [] {}).ok());
  const auto refused = pool.Add(kSmall, [] { FAIL(); });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("the limit is 2"));
  EXPECT_TRUE(RetryAfter(refused.status()).has_value());
  EXPECT_TRUE(pool.Add(kLarge, [] {}).ok()) << "the other lane has room";
}

TEST(WorkPoolTest, RemovedTaskIsDestroyedAndDoesNotRun) {
  Metrics metrics;
  WorkPool pool({}, &metrics);
  Blocker small(&pool, kSmall);
  const auto owned = std::make_shared<int>(1);
  const auto id = pool.Add(kSmall, [owned] { FAIL(); });
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(owned.use_count(), 2);
  EXPECT_TRUE(pool.Remove(*id));
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_FALSE(pool.Remove(*id));
}

TEST(WorkPoolTest, TaskThatHasBegunCannotBeRemoved) {
  Metrics metrics;
  WorkPool pool({}, &metrics);
  absl::Notification begun;
  absl::Notification end;
  const auto id = pool.Add(kSmall, [&] {
    begun.Notify();
    end.WaitForNotification();
  });
  ASSERT_TRUE(id.ok());
  begun.WaitForNotification();
  EXPECT_FALSE(pool.Remove(*id));
  EXPECT_FALSE(pool.Remove(WorkPool::TaskId()));
  end.Notify();
}

TEST(WorkPoolTest, DestructorRunsTheTasksThatWait) {
  Metrics metrics;
  int ran = 0;
  {
    WorkPool pool({}, &metrics);
    Blocker small(&pool, kSmall);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(pool.Add(kSmall, [&ran] { ++ran; }).ok());
    }
  }
  EXPECT_EQ(ran, 3);
}

TEST(WorkPoolTest, OnlyThreadsOfTheLargeLaneHaveALowPriority) {
  Metrics metrics;
  const int own = NiceOfThisThread();
  int small = -1;
  int large = -1;
  {
    WorkPool pool({}, &metrics);
    ASSERT_TRUE(pool.Add(kSmall, [&] { small = NiceOfThisThread(); }).ok());
    ASSERT_TRUE(pool.Add(kLarge, [&] { large = NiceOfThisThread(); }).ok());
  }
  EXPECT_EQ(small, own);
  EXPECT_EQ(large, std::min(own + 10, 19));
}

TEST(WorkPoolTest, ThreadsAreFewOnAnyMachine) {
  EXPECT_EQ(WorkPool::OptionsFor(1).small_threads, 1);
  EXPECT_EQ(WorkPool::OptionsFor(1).large_threads, 1);
  EXPECT_EQ(WorkPool::OptionsFor(16).large_threads, 2);
  EXPECT_EQ(WorkPool::OptionsFor(1000).small_threads, 8);
  EXPECT_EQ(WorkPool::OptionsFor(1000).large_threads, 4);
}

}  // namespace
}  // namespace rwkvd
