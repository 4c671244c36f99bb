// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/futex.h"

namespace rwkvd {
namespace {

using std::chrono::microseconds;

// How long threads spin before they sleep. Workers wait for the next loop:
// their time is longer than the serial sections of a forward pass. The caller
// waits for the end of a loop. Sleeping and waking up takes about 10 us.
constexpr microseconds kWorkerSpinTime(50);
constexpr microseconds kCallerSpinTime(20);
// The caller wakes up and sleeps again at this interval. Whenever it goes to
// sleep, its processor looks for a runnable thread that waits for another
// processor, which may be the worker that the caller waits for.
constexpr microseconds kCallerSleepTime(100);

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

// Spins until done() is true, give_up() is true, or `time` is over; returns
// whether done() is true. Calls give_up() less often than done(). Reads the
// clock and does not count pauses, because a pause takes 10 to 140 cycles,
// depending on the processor.
template <typename Done, typename GiveUp>
bool SpinUntil(Done done, microseconds time, GiveUp give_up) {
  constexpr int kPausesPerRound = 8;
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < kPausesPerRound; ++i) {
      Pause();
      if (done()) return true;
    }
  } while (!give_up() && std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

ThreadPool::ThreadPool(int num_threads)
    : ranges_(num_threads), placement_(num_threads) {
  RWKVD_CHECK(num_threads >= 1);
  workers_.reserve(num_threads - 1);
  try {
    for (int i = 1; i < num_threads; ++i) {
      workers_.emplace_back([this, i] { WorkerMain(i); });
    }
  } catch (...) {
    Stop();
    throw;
  }
}

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Start(int num_threads) {
  try {
    return std::make_unique<ThreadPool>(num_threads);
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot start ", num_threads, " compute threads: ", error.what()));
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
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
  WaitUntilFinished();
}

void ThreadPool::Publish(uint32_t n) {
  unfinished_.store(n, std::memory_order_relaxed);
  const uint64_t threads = ranges_.size();
  for (uint64_t i = 0; i < threads; ++i) {
    ranges_[i].unclaimed.store(
        Unclaimed(n * i / threads, n * (i + 1) / threads),
        std::memory_order_release);
  }
  // Sequentially consistent, like the worker's operations before it sleeps:
  // either the worker sees this loop, or this thread sees that it sleeps.
  loop_.fetch_add(1);
  if (sleeping_workers_.load() > 0) {
    FutexWake(loop_, static_cast<int>(std::min<uint32_t>(
                         n - 1, static_cast<uint32_t>(workers_.size()))));
  }
  placement_.RecordProcessor(0);
  placement_.Spread();
}

void ThreadPool::RunIndices(int thread) {
  uint32_t done = RunRange(ranges_[thread], End::kFirst);
  for (size_t i = 1; i < ranges_.size(); ++i) {
    done += RunRange(ranges_[(thread + i) % ranges_.size()], End::kLast);
  }
  if (done == 0) return;
  // ParallelFor does not return before all indices are subtracted here, so
  // everything the loop uses is valid until then.
  if (unfinished_.fetch_sub(done) == done && caller_sleeps_.load()) {
    FutexWake(unfinished_, 1);
  }
}

uint32_t ThreadPool::RunRange(Range& range, End end) {
  uint32_t done = 0;
  uint64_t unclaimed = range.unclaimed.load(std::memory_order_acquire);
  while (true) {
    const uint64_t first = unclaimed & kMaxIndices, last = unclaimed >> 32;
    if (first >= last) return done;
    const bool is_first = end == End::kFirst;
    const uint64_t remaining =
        is_first ? Unclaimed(first + 1, last) : Unclaimed(first, last - 1);
    if (!range.unclaimed.compare_exchange_weak(unclaimed, remaining,
                                               std::memory_order_acq_rel)) {
      continue;  // the failed exchange has updated `unclaimed`
    }
    (*fn_)(static_cast<int64_t>(is_first ? first : last - 1));
    ++done;
    unclaimed = range.unclaimed.load(std::memory_order_acquire);
  }
}

void ThreadPool::WorkerMain(int thread) {
  placement_.Register(thread);
  uint32_t loop = 0;
  while (WaitForLoop(thread, &loop)) {
    placement_.RecordProcessor(thread);
    RunIndices(thread);
    placement_.RecordProcessor(thread);
  }
}

bool ThreadPool::WaitForLoop(int thread, uint32_t* loop) {
  const auto has_new_loop = [this, loop] { return loop_.load() != *loop; };
  // The caller cannot publish a loop while this thread occupies its processor.
  const auto blocks_caller = [&] {
    placement_.RecordProcessor(thread);
    return placement_.SharesProcessor(thread, 0);
  };
  if (!SpinUntil(has_new_loop, kWorkerSpinTime, blocks_caller)) {
    sleeping_workers_.fetch_add(1);
    while (!has_new_loop()) FutexWait(loop_, *loop);
    sleeping_workers_.fetch_sub(1);
  }
  *loop = loop_.load();
  return !stop_.load();
}

void ThreadPool::WaitUntilFinished() {
  const auto is_finished = [this] {
    return unfinished_.load(std::memory_order_acquire) == 0;
  };
  const auto blocks_worker = [this] {
    placement_.RecordProcessor(0);
    return placement_.IsShared(0);
  };
  if (SpinUntil(is_finished, kCallerSpinTime, blocks_worker)) return;
  caller_sleeps_.store(true);
  while (uint32_t unfinished = unfinished_.load()) {
    FutexWait(unfinished_, unfinished, kCallerSleepTime);
  }
  caller_sleeps_.store(false);
}

}  // namespace rwkvd
