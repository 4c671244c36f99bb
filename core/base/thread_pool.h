// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_THREAD_POOL_H_
#define RWKVD_CORE_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/thread_placement.h"

namespace rwkvd {

// A fixed set of threads that run the indices of a loop side by side.
//
// Each thread has a share of neighbouring indices, which it runs in order, and
// then takes from the ends of others' shares what they have not begun. So a
// thread reads memory from one end of its share to the other, as processors
// fetch ahead best, and none waits while there is work.
//
// Owned by the engine (one per process). One caller at a time; the caller
// works too, so a pool of one thread starts none. ParallelFor allocates
// nothing. Workers spin for a short while after a loop, since the next one of
// a forward pass follows within microseconds, then sleep; so does the caller
// when it waits for the last of them. Where other processes want the same
// processors, the threads stay apart (ThreadPlacement), and whoever waits for
// one that has none lets go of its own.
class ThreadPool {
 public:
  // `num_threads` >= 1 counts the calling thread.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(i) exactly once for each i in [0, n), on any thread in any order,
  // and returns when all calls have returned. What they wrote is visible then.
  // n is below 2^32.
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> fn);

 private:
  // The indices of a thread's share that nobody has claimed: the first one in
  // the low half, the end in the high half. To claim one is to compare and
  // swap, which succeeds for a thread that still looks at an earlier loop only
  // if the same index is unclaimed in this one.
  struct alignas(64) Share {
    std::atomic<uint64_t> unclaimed{0};
  };
  // Which end of a share is claimed: its own thread takes the first index.
  enum class End { kFirst, kLast };

  void Publish(uint32_t n);
  // Claims and runs indices until none is left, first those of `thread`.
  void RunIndices(int thread);
  uint32_t RunShare(Share& share, End end);
  void WorkerMain(int thread);
  // Returns when there is a loop after `*loop`, which becomes the current one,
  // or the pool is to stop; true for a loop.
  bool WaitForLoop(int thread, uint32_t* loop);
  void WaitForStragglers();

  std::vector<Share> shares_;  // one for each thread
  // Of the current loop. Written while no index is unclaimed, read only by who
  // has claimed one, so it does not change under a reader.
  const absl::FunctionRef<void(int64_t)>* fn_ = nullptr;
  std::atomic<uint32_t> unfinished_{0};  // the caller sleeps on it

  std::atomic<bool> stop_{false};
  // The number of the current loop; workers sleep on it.
  std::atomic<uint32_t> loop_{0};
  std::atomic<int> sleeping_workers_{0};
  std::atomic<bool> caller_sleeps_{false};

  ThreadPlacement placement_;
  std::vector<std::thread> workers_;  // last: they use all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_THREAD_POOL_H_
