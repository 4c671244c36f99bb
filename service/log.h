// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_H_
#define RWKVD_SERVICE_LOG_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace rwkvd {

// The log of the process. Each line goes to the standard output immediately,
// with the time (UTC) and the level. Thread-safe.

// Drops lines below `level`: "debug", "info", "warn" or "error". Also logs the
// messages of gRPC: its errors at warn, all others at debug.
void InitLog(absl::string_view level);

bool DebugLogEnabled();
void LogDebug(absl::string_view line);
void LogInfo(absl::string_view line);
void LogWarning(absl::string_view line);

// Logs warnings that events from outside may cause at any rate: at most one
// line per interval. A line says how many were dropped since the last one.
//
// Thread-safe.
class LimitedLog {
 public:
  explicit LimitedLog(absl::Duration interval = absl::Seconds(10))
      : interval_(interval) {}
  LimitedLog(const LimitedLog&) = delete;
  LimitedLog& operator=(const LimitedLog&) = delete;

  // Logs `line`, or drops it; returns whether it was logged.
  bool Warning(absl::string_view line) ABSL_LOCKS_EXCLUDED(mutex_);

  // What Warning logs at `now`, a time of MonotonicNow: `line`, with the number
  // of dropped lines, or nothing if it drops `line`.
  std::string LineToLog(absl::string_view line, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const absl::Duration interval_;
  absl::Mutex mutex_;
  absl::Time next_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t num_dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOG_H_
