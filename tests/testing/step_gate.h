// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_STEP_GATE_H_
#define RWKVD_TESTS_TESTING_STEP_GATE_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// Blocks a thread until the test permits it to continue. Thread-safe.
class StepGate {
 public:
  // Called by the thread: waits for a permit.
  void Pass() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ++num_arrivals_;
    const auto may_pass = [this] { return is_open_ || num_permits_ > 0; };
    mutex_.Await(absl::Condition(&may_pass));
    --num_permits_;
  }

  // Permits `n` more passes.
  void Permit(int64_t n) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    num_permits_ += n;
  }

  // Permits all further passes.
  void Open() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    is_open_ = true;
  }

  // Waits until Pass has been called `n` times since construction.
  void WaitForArrivals(int64_t n) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto has_arrivals = [&] { return num_arrivals_ >= n; };
    mutex_.Await(absl::Condition(&has_arrivals));
  }

 private:
  absl::Mutex mutex_;
  int64_t num_arrivals_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_permits_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_open_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_STEP_GATE_H_
