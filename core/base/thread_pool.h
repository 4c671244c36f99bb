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
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> fn);

 private:
  // A loop's unclaimed indices in the low half, its number in the high half:
  // claiming is one compare-and-swap, which fails for a worker that still
  // looks at an earlier loop.
  using Work = uint64_t;

  void Publish(uint32_t n);
  // Claims and runs indices until none is left.
  void RunIndices();
  void WorkerMain(int thread);
  bool HasWork() const;
  // Returns when there is work or the pool is to stop; true for work.
  bool WaitForWork(int thread);
  void WaitForStragglers();

  std::atomic<Work> work_{0};
  // Of the current loop. Written while work_ holds no index, read only by who
  // has claimed one, so neither changes under a reader.
  const absl::FunctionRef<void(int64_t)>* fn_ = nullptr;
  int64_t size_ = 0;
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
