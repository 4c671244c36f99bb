// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_THREAD_POOL_H_
#define RWKVD_CORE_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/base/thread_placement.h"

namespace rwkvd {

// A fixed set of threads that run the iterations of a loop in parallel.
//
// Each thread owns a contiguous range of indices, which it runs in ascending
// order; then it steals indices from the ends of other threads' ranges. So a
// thread reads memory sequentially, which helps hardware prefetching, and no
// thread idles while there is work.
//
// A server has one, which its loaded model owns. One caller at a time; the
// caller runs iterations too, so a pool of one thread starts no worker.
// ParallelFor does not allocate. After a loop, workers spin for a short time
// before they sleep, because the next loop of a forward pass follows within
// microseconds. The caller does the same while it waits for workers to finish.
// If other processes compete for the processors, ThreadPlacement keeps the
// threads on different ones, and a thread that waits for another one on its
// processor sleeps at once.
class ThreadPool {
 public:
  // Starts a pool of `num_threads` >= 1, which include the calling thread.
  // ResourceExhausted, with the reason of the operating system, if it refuses
  // to start so many.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Start(int num_threads);
  // The same, but throws std::system_error if a thread cannot be started.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(i) exactly once for each i in [0, n), on any thread and in any
  // order. Returns when all calls have returned; their writes are visible to
  // the caller. n must be less than 2^32.
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> fn);

 private:
  // The unclaimed indices of one thread's range: the first in the low 32 bits,
  // the end in the high 32 bits. A thread claims an index with a compare-and-
  // swap. If the thread has read the range of an earlier loop, that succeeds
  // only if the same range is unclaimed in the current loop.
  struct alignas(64) Range {
    std::atomic<uint64_t> unclaimed{0};
  };
  // The end of a range to claim from: the owner takes the first index, other
  // threads take the last.
  enum class End { kFirst, kLast };

  // Ends the threads that have been started.
  void Stop();
  // Makes a loop of `n` iterations available to the workers.
  void Publish(uint32_t n);
  // Claims and runs indices, first those of `thread`, until none is left.
  void RunIndices(int thread);
  // Claims and runs indices of one range; returns how many.
  uint32_t RunRange(Range& range, End end);
  void WorkerMain(int thread);
  // Waits for a loop other than `*loop` and stores its number in `*loop`.
  // Returns false if the pool is stopping.
  bool WaitForLoop(int thread, uint32_t* loop);
  // Waits until all indices of the current loop have run.
  void WaitUntilFinished();

  std::vector<Range> ranges_;  // one for each thread
  // The function of the current loop. Written only while no index is unclaimed,
  // and read only by threads that have claimed one.
  const absl::FunctionRef<void(int64_t)>* fn_ = nullptr;
  std::atomic<uint32_t> unfinished_{0};  // indices; the caller sleeps on it

  std::atomic<bool> stop_{false};
  // The number of the current loop. Workers sleep on it.
  std::atomic<uint32_t> loop_{0};
  std::atomic<int> sleeping_workers_{0};
  std::atomic<bool> caller_sleeps_{false};

  ThreadPlacement placement_;
  std::vector<std::thread> workers_;  // last, as they use the members above
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_THREAD_POOL_H_
