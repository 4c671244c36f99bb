// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ThreadPoolTest, EveryIndexRunsExactlyOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    // Loops of many sizes follow each other immediately, so that a late worker
    // sees the next loop.
    for (int round = 0; round < 2000; ++round) {
      const int64_t n = round % 37;
      std::vector<std::atomic<int>> runs(n);
      pool.ParallelFor(n, [&](int64_t i) { runs[i].fetch_add(1); });
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(runs[i].load(), 1);
    }
  }
}

TEST(ThreadPoolTest, WritesOfIterationsAreVisibleAfterwards) {
  ThreadPool pool(4);
  for (int round = 0; round < 500; ++round) {
    std::vector<int64_t> values(64, -1);  // not atomic
    pool.ParallelFor(values.size(), [&](int64_t i) { values[i] = i * round; });
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], static_cast<int64_t>(i) * round);
    }
  }
}

TEST(ThreadPoolTest, IterationsRunInParallel) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  // Each iteration waits for all others: with fewer threads, this would hang.
  absl::Barrier* barrier = new absl::Barrier(kThreads);
  pool.ParallelFor(kThreads, [&](int64_t) {
    if (barrier->Block()) delete barrier;
  });
}

TEST(ThreadPoolTest, ThreadRunsItsRangeInOrderThenTheEndsOfOthers) {
  constexpr int64_t kIndices = 100;
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    const std::thread::id caller = std::this_thread::get_id();
    std::vector<int64_t> caller_indices;
    absl::Notification caller_is_done;
    pool.ParallelFor(kIndices, [&](int64_t i) {
      if (std::this_thread::get_id() != caller) {
        // If the worker starts in time, it blocks in the first iteration of its
        // range.
        EXPECT_EQ(i, kIndices / 2);
        caller_is_done.WaitForNotification();
        return;
      }
      caller_indices.push_back(i);
      if (caller_indices.size() == kIndices - 1) caller_is_done.Notify();
    });
    ASSERT_GE(caller_indices.size(), kIndices - 1);
    for (int64_t i = 0; i < kIndices - 1; ++i) {
      const int64_t expected =
          i < kIndices / 2 ? i : kIndices - 1 - (i - kIndices / 2);
      ASSERT_EQ(caller_indices[i], expected);
    }
  }
}

TEST(ThreadPoolTest, SleepingWorkersWakeUp) {
  constexpr int kThreads = 2;
  ThreadPool pool(kThreads);
  for (int round = 0; round < 20; ++round) {
    // Keeps this thread busy for longer than workers spin.
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

TEST(ThreadPoolTest, CallerWaitsForTheLastWorker) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    absl::Notification other_started;
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> worker_done{false};
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
      worker_done = true;
    });
    EXPECT_TRUE(worker_done);
  }
}

TEST(ThreadPoolTest, UnusedPoolIsDestroyed) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 4);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Exits with 0 if the error of a refused thread is as expected.
[[noreturn]] void StartMoreThreadsThanAllowed() {
  // The stacks of 1024 threads need more address space.
  const rlimit limit = {2ul << 30, 2ul << 30};
  setrlimit(RLIMIT_AS, &limit);
  const auto pool = ThreadPool::Start(1024);
  std::fprintf(stderr, "%s\n", pool.status().ToString().c_str());
  std::exit(absl::IsResourceExhausted(pool.status()) ? 0 : 1);
}

TEST(ThreadPoolTest, RefusedThreadIsAnErrorWithTheReason) {
  EXPECT_EXIT(
      StartMoreThreadsThanAllowed(), testing::ExitedWithCode(0),
      "cannot start 1024 compute threads: Resource temporarily unavailable");
}
#endif

}  // namespace
}  // namespace rwkvd
