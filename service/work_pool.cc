// SPDX-License-Identifier: Apache-2.0
#include "service/work_pool.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"

namespace rwkvd {
namespace {

// A task is overtaken by those that arrive within the time that it takes to
// process its bytes at this rate.
constexpr int64_t kBytesPerSecond = 4 << 20;

// Added to the nice value of the threads of the large lane: of a processor that
// they share with a compute thread they then get about a tenth.
constexpr int kNicer = 10;

// When a client should retry if the queue is full.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

// The order of a task: nanoseconds since the epoch of the clock.
int64_t OrderOf(std::chrono::steady_clock::time_point added, int64_t bytes) {
  const auto delay =
      std::chrono::nanoseconds(std::min<int64_t>(bytes, int64_t{1} << 32) *
                               1'000'000'000 / kBytesPerSecond);
  return std::chrono::nanoseconds(added.time_since_epoch() + delay).count();
}

// On Linux the nice value is one of the thread. Without the permission, which
// lowering the priority does not need, the thread works as the others do.
void LowerPriorityOfThisThread() {
  const auto thread = static_cast<id_t>(syscall(SYS_gettid));
  (void)setpriority(PRIO_PROCESS, thread,
                    getpriority(PRIO_PROCESS, thread) + kNicer);
}

}  // namespace

WorkPool::Options WorkPool::OptionsFor(int32_t num_cpus) {
  Options options;
  options.small_threads = std::clamp(num_cpus / 4, 1, 8);
  options.large_threads = std::clamp(num_cpus / 8, 1, 4);
  return options;
}

WorkPool::WorkPool(const Options& options, Metrics* metrics)
    : options_(options), metrics_(metrics) {
  for (int32_t i = 0; i < options_.small_threads; ++i) {
    threads_.emplace_back([this] { Run(WorkLane::kSmall); });
  }
  for (int32_t i = 0; i < options_.large_threads; ++i) {
    threads_.emplace_back([this] {
      LowerPriorityOfThisThread();
      Run(WorkLane::kLarge);
    });
  }
}

WorkPool::~WorkPool() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<WorkPool::TaskId> WorkPool::Add(int64_t bytes, Task task) {
  TaskId id;
  id.lane = bytes > kMaxSmallBytes ? WorkLane::kLarge : WorkLane::kSmall;
  const Clock::time_point now = Clock::now();
  {
    absl::MutexLock lock(&mutex_);
    Queue& queue = QueueOf(id.lane);
    if (queue.size() < static_cast<size_t>(options_.max_waiting)) {
      id.position = {OrderOf(now, bytes), ++last_number_};
      queue.emplace(id.position, Waiting{std::move(task), now});
      metrics_->WorkQueued(id.lane);
      return id;
    }
  }
  metrics_->MessageRefused(MessageRefusal::kQueueFull);
  return WithRetryAfter(
      WithQuota(
          MakeError(
              ErrorReason::kParseQueueFull,
              absl::StrCat("too many requests wait to be parsed: the limit is ",
                           options_.max_waiting)),
          "parse_queue"),
      kRetryAfter);
}

bool WorkPool::Remove(const TaskId& id) {
  Waiting removed;  // destroyed after the lock has been released
  absl::MutexLock lock(&mutex_);
  Queue& queue = QueueOf(id.lane);
  const auto at = queue.find(id.position);
  if (at == queue.end()) return false;
  removed = std::move(at->second);
  queue.erase(at);
  metrics_->WorkRemoved(id.lane);
  return true;
}

void WorkPool::Run(WorkLane lane) {
  const auto has_work = [this, lane]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stop_ || !QueueOf(lane).empty();
  };
  while (true) {
    Waiting next;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(&has_work));
      Queue& queue = QueueOf(lane);
      if (queue.empty()) return;
      next = std::move(queue.begin()->second);
      queue.erase(queue.begin());
    }
    metrics_->WorkBegun(lane, absl::FromChrono(Clock::now() - next.added));
    next.task();
  }
}

}  // namespace rwkvd
