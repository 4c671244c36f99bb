// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "core/base/check.h"
#include "core/base/futex.h"

namespace rwkvd {
namespace {

using std::chrono::microseconds;

// How long to look before sleeping: a worker for work, longer than the serial
// gaps inside a forward pass; the caller for the end of a loop. To sleep and to
// be woken costs some 10 us.
constexpr microseconds kWorkerSpins(50);
constexpr microseconds kCallerSpins(20);
// The caller, having slept this long, goes to sleep anew. Each time its
// processor looks for a thread that waits for another one: perhaps the worker
// that the caller waits for.
constexpr microseconds kCallerSleeps(100);

constexpr int64_t kMaxIndices = 0xffffffff;

constexpr uint64_t Unclaimed(uint64_t begin, uint64_t end) {
  return end << 32 | begin;
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks until `done`, true then, or for a time, or until `give_up`, which is
// asked less often. By the clock: a pause takes 10 to 140 cycles, depending on
// the processor.
template <typename Done, typename GiveUp>
bool SpinUntil(Done done, microseconds time, GiveUp give_up) {
  constexpr int kLooks = 8;
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < kLooks; ++i) {
      Pause();
      if (done()) return true;
    }
  } while (!give_up() && std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

ThreadPool::ThreadPool(int num_threads)
    : shares_(num_threads), placement_(num_threads) {
  RWKVD_CHECK(num_threads >= 1);
  workers_.reserve(num_threads - 1);
  for (int i = 1; i < num_threads; ++i) {
    workers_.emplace_back([this, i] { WorkerMain(i); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  loop_.fetch_add(1);
  FutexWake(loop_, num_threads());
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> fn) {
  RWKVD_CHECK(n >= 0 && n <= kMaxIndices);
  if (n <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  fn_ = &fn;
  Publish(static_cast<uint32_t>(n));
  RunIndices(0);
  WaitForStragglers();
}

void ThreadPool::Publish(uint32_t n) {
  unfinished_.store(n, std::memory_order_relaxed);
  const uint64_t threads = shares_.size();
  for (uint64_t i = 0; i < threads; ++i) {
    shares_[i].unclaimed.store(
        Unclaimed(n * i / threads, n * (i + 1) / threads),
        std::memory_order_release);
  }
  // Sequentially consistent, as is the worker's going to sleep: either it sees
  // this loop, or we see that it sleeps.
  loop_.fetch_add(1);
  if (sleeping_workers_.load() > 0) {
    FutexWake(loop_, static_cast<int>(std::min<uint32_t>(
                         n - 1, static_cast<uint32_t>(workers_.size()))));
  }
  placement_.Note(0);
  placement_.MoveApart();
}

void ThreadPool::RunIndices(int thread) {
  uint32_t done = RunShare(shares_[thread], End::kFirst);
  for (size_t i = 1; i < shares_.size(); ++i) {
    done += RunShare(shares_[(thread + i) % shares_.size()], End::kLast);
  }
  if (done == 0) return;
  // The loop, and so what it uses, lasts until its last index is told of here.
  if (unfinished_.fetch_sub(done) == done && caller_sleeps_.load()) {
    FutexWake(unfinished_, 1);
  }
}

uint32_t ThreadPool::RunShare(Share& share, End end) {
  uint32_t done = 0;
  uint64_t unclaimed = share.unclaimed.load(std::memory_order_acquire);
  while (true) {
    const uint64_t first = unclaimed & kMaxIndices, last = unclaimed >> 32;
    if (first >= last) return done;
    const bool is_first = end == End::kFirst;
    const uint64_t left =
        is_first ? Unclaimed(first + 1, last) : Unclaimed(first, last - 1);
    if (!share.unclaimed.compare_exchange_weak(unclaimed, left,
                                               std::memory_order_acq_rel)) {
      continue;  // `unclaimed` is fresh
    }
    (*fn_)(static_cast<int64_t>(is_first ? first : last - 1));
    ++done;
    unclaimed = share.unclaimed.load(std::memory_order_acquire);
  }
}

void ThreadPool::WorkerMain(int thread) {
  placement_.Enter(thread);
  uint32_t loop = 0;
  while (WaitForLoop(thread, &loop)) {
    placement_.Note(thread);
    RunIndices(thread);
    placement_.Note(thread);
  }
}

bool ThreadPool::WaitForLoop(int thread, uint32_t* loop) {
  const auto is_over = [this, loop] { return loop_.load() != *loop; };
  // The caller cannot bring work while we are in its place.
  const auto is_in_the_way = [&] {
    placement_.Note(thread);
    return placement_.Share(thread, 0);
  };
  if (!SpinUntil(is_over, kWorkerSpins, is_in_the_way)) {
    sleeping_workers_.fetch_add(1);
    while (!is_over()) FutexWait(loop_, *loop);
    sleeping_workers_.fetch_sub(1);
  }
  *loop = loop_.load();
  return !stop_.load();
}

void ThreadPool::WaitForStragglers() {
  const auto is_finished = [this] {
    return unfinished_.load(std::memory_order_acquire) == 0;
  };
  const auto is_in_the_way = [this] {
    placement_.Note(0);
    return placement_.IsShared(0);
  };
  if (SpinUntil(is_finished, kCallerSpins, is_in_the_way)) return;
  caller_sleeps_.store(true);
  while (uint32_t unfinished = unfinished_.load()) {
    FutexWait(unfinished_, unfinished, kCallerSleeps);
  }
  caller_sleeps_.store(false);
}

}  // namespace rwkvd
