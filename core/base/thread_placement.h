// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_THREAD_PLACEMENT_H_
#define RWKVD_CORE_BASE_THREAD_PLACEMENT_H_

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <vector>

namespace rwkvd {

// Keeps the threads of one pool on different processors, as far as there are
// enough. The kernel does not: where another process keeps one of two
// processors busy, it is content to have both threads of a pool on the other,
// and the pool computes at the speed of one.
//
// A thread notes where it runs, and thread 0 sends those elsewhere that share a
// processor with another. It does so by taking away their right to run where
// they are and giving it back at once, so that the kernel stays free to move
// them again, and whatever affinity the process was given is kept. A thread
// that waits for another on the same processor only keeps it from working, and
// had better sleep.
//
// Owned by the pool. Thread-safe, but for MoveApart, which only thread 0 calls.
class ThreadPlacement {
 public:
  // Threads are numbered from 0, the one that calls the pool.
  explicit ThreadPlacement(int num_threads) : threads_(num_threads) {}

  // The calling thread is number `thread`, now and later.
  void Enter(int thread);
  // Where the calling thread, number `thread`, runs now.
  void Note(int thread);

  // Whether the two ran on the same processor when they last noted it.
  bool Share(int one, int other) const;
  // Whether any other did so with `thread`.
  bool IsShared(int thread) const;

  // Sends those elsewhere that share a processor; not too often.
  void MoveApart();

 private:
  static constexpr int kUnknown = -1;

  struct alignas(64) Thread {
    std::atomic<pid_t> id{0};  // 0 before it entered
    std::atomic<int> processor{kUnknown};
  };

  void Move(Thread& thread, const cpu_set_t& taken);

  std::vector<Thread> threads_;
  std::chrono::steady_clock::time_point next_move_{};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_THREAD_PLACEMENT_H_
