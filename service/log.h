// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_H_
#define RWKVD_SERVICE_LOG_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/strings/string_view.h"

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
  explicit LimitedLog(std::chrono::seconds interval = std::chrono::seconds(10))
      : interval_(interval) {}
  LimitedLog(const LimitedLog&) = delete;
  LimitedLog& operator=(const LimitedLog&) = delete;

  // Logs `line`, or drops it; returns whether it was logged.
  bool Warning(absl::string_view line);

 private:
  using Clock = std::chrono::steady_clock;

  const std::chrono::seconds interval_;
  std::atomic<Clock::time_point> next_{Clock::time_point::min()};
  std::atomic<int64_t> num_dropped_{0};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOG_H_
