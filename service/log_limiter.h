// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_LIMITER_H_
#define RWKVD_SERVICE_LOG_LIMITER_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/time/time.h"

namespace rwkvd {

// Decides whether a line that can come very often is logged: at most once per
// interval. Thread-safe.
class LogLimiter {
 public:
  explicit LogLimiter(absl::Duration interval)
      : interval_(absl::ToInt64Nanoseconds(interval)) {}

  // The first call returns true.
  bool ShouldLog() {
    const int64_t now =
        std::chrono::steady_clock::now().time_since_epoch().count();
    int64_t next = next_.load(std::memory_order_relaxed);
    return now >= next && next_.compare_exchange_strong(next, now + interval_);
  }

 private:
  static_assert(std::chrono::steady_clock::period::den == 1'000'000'000);

  const int64_t interval_;        // nanoseconds
  std::atomic<int64_t> next_{0};  // when a line may be logged again
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOG_LIMITER_H_
