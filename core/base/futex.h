// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FUTEX_H_
#define RWKVD_CORE_BASE_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rwkvd {

// Sleeping until a word changes, as the kernel offers it: whoever changes it
// wakes the sleepers, and nobody who sleeps holds anything. Thread-safe.

// Sleeps while `word` is `value`, until woken or, if `time` is not zero, for
// that long; may also return without a reason.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t value,
                      std::chrono::microseconds time = {}) {
  const timespec limit = {
      .tv_sec = static_cast<time_t>(time.count() / 1'000'000),
      .tv_nsec = static_cast<long>(time.count() % 1'000'000 * 1000)};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value,
          time.count() > 0 ? &limit : nullptr, nullptr, 0);
}

// Wakes up to `sleepers` of those that sleep on `word`.
inline void FutexWake(const std::atomic<uint32_t>& word, int sleepers) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, sleepers, nullptr, nullptr, 0);
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FUTEX_H_
