// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <atomic>
#include <vector>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ThreadPoolTest, EveryIndexRunsExactlyOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    // Loops of all sizes follow one another without a pause, so that late
    // workers meet the next loop.
    for (int round = 0; round < 2000; ++round) {
      const int64_t n = round % 37;
      std::vector<std::atomic<int>> runs(n);
      pool.ParallelFor(n, [&](int64_t i) { runs[i].fetch_add(1); });
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(runs[i].load(), 1);
    }
  }
}

TEST(ThreadPoolTest, WhatIndicesWroteIsVisibleAfterwards) {
  ThreadPool pool(4);
  for (int round = 0; round < 500; ++round) {
    std::vector<int64_t> values(64, -1);  // plain memory
    pool.ParallelFor(values.size(), [&](int64_t i) { values[i] = i * round; });
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], static_cast<int64_t>(i) * round);
    }
  }
}

TEST(ThreadPoolTest, IndicesRunSideBySide) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  // Each waits for all: with fewer threads at work this would never end.
  absl::Barrier* barrier = new absl::Barrier(kThreads);
  pool.ParallelFor(kThreads, [&](int64_t) {
    if (barrier->Block()) delete barrier;
  });
}

TEST(ThreadPoolTest, ThreadsRunTheirShareInOrderThenTheEndsOfOthers) {
  constexpr int64_t kIndices = 100;
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    const std::thread::id caller = std::this_thread::get_id();
    std::vector<int64_t> of_caller;
    absl::Notification caller_is_done;
    pool.ParallelFor(kIndices, [&](int64_t i) {
      if (std::this_thread::get_id() != caller) {
        // The worker is stuck, if it comes in time, with the first of its
        // share.
        EXPECT_EQ(i, kIndices / 2);
        caller_is_done.WaitForNotification();
        return;
      }
      of_caller.push_back(i);
      if (of_caller.size() == kIndices - 1) caller_is_done.Notify();
    });
    ASSERT_GE(of_caller.size(), kIndices - 1);
    for (int64_t i = 0; i < kIndices - 1; ++i) {
      const int64_t expected =
          i < kIndices / 2 ? i : kIndices - 1 - (i - kIndices / 2);
      ASSERT_EQ(of_caller[i], expected);
    }
  }
}

TEST(ThreadPoolTest, WorkersThatSleepWakeUp) {
  constexpr int kThreads = 2;
  ThreadPool pool(kThreads);
  for (int round = 0; round < 20; ++round) {
    // Busy for longer than workers spin, on this thread alone.
    std::atomic<int64_t> sum{0};
    for (int i = 0; i < 2'000'000; ++i) {
      sum.fetch_add(i, std::memory_order_relaxed);
    }
    absl::Barrier* barrier = new absl::Barrier(kThreads);
    pool.ParallelFor(kThreads, [&](int64_t) {
      if (barrier->Block()) delete barrier;
    });
  }
}

TEST(ThreadPoolTest, TheCallerWaitsForAStraggler) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    absl::Notification other_started;
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> straggler_done{false};
    pool.ParallelFor(2, [&](int64_t) {
      if (std::this_thread::get_id() == caller) {
        other_started.WaitForNotification();
        return;
      }
      other_started.Notify();
      std::atomic<int64_t> sum{0};
      for (int i = 0; i < 1'000'000; ++i) {
        sum.fetch_add(i, std::memory_order_relaxed);
      }
      straggler_done = true;
    });
    EXPECT_TRUE(straggler_done);
  }
}

TEST(ThreadPoolTest, EndsWithoutHavingWorked) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 4);
}

}  // namespace
}  // namespace rwkvd
