// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_WORKER_H_
#define RWKVD_SERVICE_STATES_WORKER_H_

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// A thread for what would hold up others: states are put into words and written
// to the disk here. Does one thing after the other.
//
// Owned by the served model; thread-safe. As many tasks wait as there are calls
// at most, for each call has one.
class Worker {
 public:
  Worker();
  // Does what waits first.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Do(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // uses the others
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_WORKER_H_
