// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include "core/base/check.h"

namespace rwkvd {
namespace {

// How often to look for work before sleeping: some tens of microseconds, more
// than the serial gaps inside a forward pass, less than anybody notices.
constexpr int kSpins = 2000;

constexpr uint64_t kUnclaimedMask = 0xffffffff;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  RWKVD_CHECK(num_threads >= 1);
  workers_.reserve(num_threads - 1);
  for (int i = 1; i < num_threads; ++i) {
    workers_.emplace_back([this] { WorkerMain(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mutex_);
    stop_.store(true);
    work_arrived_.SignalAll();
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> fn) {
  RWKVD_CHECK(n >= 0 && n <= static_cast<int64_t>(kUnclaimedMask));
  if (n <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  fn_ = &fn;
  size_ = n;
  unfinished_.store(n, std::memory_order_relaxed);
  const Work loop = (work_.load(std::memory_order_relaxed) >> 32) + 1;
  // Sequentially consistent, as is the worker's going to sleep: either it sees
  // this work, or we see that it sleeps.
  work_.store(loop << 32 | static_cast<Work>(n));
  if (sleeping_workers_.load() > 0) {
    absl::MutexLock lock(&mutex_);
    work_arrived_.SignalAll();
  }
  RunIndices();
  WaitForStragglers();
}

void ThreadPool::RunIndices() {
  Work work = work_.load(std::memory_order_acquire);
  while ((work & kUnclaimedMask) != 0) {
    if (!work_.compare_exchange_weak(work, work - 1,
                                     std::memory_order_acq_rel)) {
      continue;  // `work` is fresh
    }
    // Ascending, so that neighbours in memory are read one after the other.
    (*fn_)(size_ - static_cast<int64_t>(work & kUnclaimedMask));
    if (unfinished_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
      absl::MutexLock lock(&mutex_);
      loop_finished_.Signal();
    }
    work = work_.load(std::memory_order_acquire);
  }
}

void ThreadPool::WorkerMain() {
  while (WaitForWork()) RunIndices();
}

bool ThreadPool::WaitForWork() {
  const auto has_work = [this] { return (work_.load() & kUnclaimedMask) != 0; };
  for (int i = 0; i < kSpins; ++i) {
    if (has_work()) return true;
    if (stop_.load(std::memory_order_relaxed)) return false;
    Pause();
  }
  absl::MutexLock lock(&mutex_);
  sleeping_workers_.fetch_add(1);
  while (!has_work() && !stop_.load()) work_arrived_.Wait(&mutex_);
  sleeping_workers_.fetch_sub(1);
  return !stop_.load();
}

void ThreadPool::WaitForStragglers() {
  for (int i = 0; i < kSpins; ++i) {
    if (unfinished_.load(std::memory_order_acquire) == 0) return;
    Pause();
  }
  absl::MutexLock lock(&mutex_);
  caller_sleeps_.store(true);
  while (unfinished_.load() != 0) loop_finished_.Wait(&mutex_);
  caller_sleeps_.store(false);
}

}  // namespace rwkvd
