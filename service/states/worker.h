// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_WORKER_H_
#define RWKVD_SERVICE_STATES_WORKER_H_

#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// A thread for work that would block the threads of the engine or of gRPC:
// saved states are serialized, parsed, read from disk and written to disk here.
// It runs one task after the other, in the order in which they were added.
//
// Owned by the served model; thread-safe. Each call adds at most one task at a
// time, so that no more tasks wait than there are calls.
class Worker {
 public:
  Worker();
  // Runs the tasks that still wait.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Do(absl::AnyInvocable<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls `done` with the result of `task`, or with the status of the exception
  // that `task` has thrown.
  void Do(absl::AnyInvocable<absl::Status()> task,
          absl::AnyInvocable<void(const absl::Status&)> done)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_WORKER_H_
