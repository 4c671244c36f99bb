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

// Wrappers of Linux's futex system call: a thread sleeps until another thread
// changes a word and wakes it, and needs no mutex for that. Thread-safe.

// Sleeps until woken if `word` equals `value`, otherwise returns at once. If
// `time` is not zero, sleeps no longer than that. May return spuriously.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t value,
                      std::chrono::microseconds time = {}) {
  const timespec limit = {
      .tv_sec = static_cast<time_t>(time.count() / 1'000'000),
      .tv_nsec = static_cast<long>(time.count() % 1'000'000 * 1000)};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value,
          time.count() > 0 ? &limit : nullptr, nullptr, 0);
}

// Wakes up to `sleepers` threads that sleep on `word`.
inline void FutexWake(const std::atomic<uint32_t>& word, int sleepers) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, sleepers, nullptr, nullptr, 0);
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FUTEX_H_
