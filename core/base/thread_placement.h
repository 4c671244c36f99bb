// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_THREAD_PLACEMENT_H_
#define RWKVD_CORE_BASE_THREAD_PLACEMENT_H_

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <vector>

namespace rwkvd {

// Keeps the threads of a thread pool on different processors if there are
// enough of them. The kernel does not: if another process keeps one of two
// processors busy, the kernel may leave both threads of a pool on the other
// one, and the pool runs at half speed.
//
// Each thread records the processor it runs on. Thread 0 then moves threads
// that share a processor: it excludes the occupied processors from the thread's
// affinity, and restores the affinity at once. So the kernel remains free to
// move the thread later, and the affinity that the process was given is kept. A
// thread that waits for another one on the same processor prevents it from
// running, and should sleep instead of spinning.
//
// Owned by the pool. Thread-safe, except for Spread, which only thread 0 calls.
class ThreadPlacement {
 public:
  // Threads are numbered from 0. Thread 0 is the caller of the pool.
  explicit ThreadPlacement(int num_threads) : threads_(num_threads) {}

  // Registers the calling thread as number `thread`; called once by each thread
  // but thread 0.
  void Register(int thread);
  // Records the processor that the calling thread, number `thread`, runs on.
  void RecordProcessor(int thread);

  // Whether two threads have recorded the same processor.
  bool SharesProcessor(int one, int other) const;
  // Whether any other thread has recorded the same processor as `thread`.
  bool IsShared(int thread) const;

  // Moves one of the threads that share a processor to a free one. Limits
  // itself to one move per 100 us.
  void Spread();

 private:
  static constexpr int kUnknown = -1;

  struct alignas(64) Thread {
    std::atomic<pid_t> id{0};  // 0 until registered
    std::atomic<int> processor{kUnknown};
  };

  // Moves `thread` to a processor it is allowed on that is not in `occupied`.
  void Move(Thread& thread, const cpu_set_t& occupied);

  std::vector<Thread> threads_;
  std::chrono::steady_clock::time_point next_move_{};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_THREAD_PLACEMENT_H_
