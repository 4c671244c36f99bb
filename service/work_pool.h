// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_WORK_POOL_H_
#define RWKVD_SERVICE_WORK_POOL_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "service/metrics/metrics.h"

namespace rwkvd {

// Threads for work that takes too long for gRPC's threads: request messages are
// parsed, tokenized and converted here, and small answers are computed here.
//
// Tasks are divided into two lanes by their size. Each lane has a queue and
// threads of its own, so that small tasks never wait for large ones. Within a
// lane, a task overtakes larger ones that arrived shortly before: tasks run in
// the order of their arrival plus a delay that is proportional to their size.
// So no task waits forever. The threads of the large lane have a low priority,
// so that running requests keep their pace.
//
// Owned by the server. Thread-safe. The metrics outlive it.
class WorkPool {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Tasks above this size belong to the large lane.
  static constexpr int64_t kMaxSmallBytes = 256 << 10;

  struct Options {
    int32_t small_threads = 1;
    int32_t large_threads = 1;
    int32_t max_waiting = 1024;  // tasks in the queue of one lane
  };
  // The number of threads for a process that may use `num_cpus` CPUs.
  static Options OptionsFor(int32_t num_cpus);

  // Names a task that was added.
  class TaskId {
   public:
    TaskId() = default;  // names no task

   private:
    friend class WorkPool;
    WorkLane lane = WorkLane::kSmall;
    // Where the task is in the queue: its order, and its number among all
    // tasks.
    std::pair<int64_t, uint64_t> position = {0, 0};
  };

  WorkPool(const Options& options, Metrics* metrics);
  // Runs the tasks that still wait, and joins the threads.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // Adds a task that processes about `bytes` bytes. It may run before Add
  // returns. ResourceExhausted with a RetryAfter if the lane's queue is full;
  // the task is then destroyed.
  absl::StatusOr<TaskId> Add(int64_t bytes, Task task)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Destroys a task that has not begun, and returns true. Returns false, and
  // does nothing, if the task has begun or ended, or if `id` names none.
  bool Remove(const TaskId& id) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  struct Waiting {
    Task task;
    Clock::time_point added;
  };
  using Queue = std::map<std::pair<int64_t, uint64_t>, Waiting>;

  Queue& QueueOf(WorkLane lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queues_[static_cast<size_t>(lane)];
  }
  void Run(WorkLane lane) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  Metrics* const metrics_;

  absl::Mutex mutex_;
  std::array<Queue, kNumWorkLanes> queues_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_WORK_POOL_H_
