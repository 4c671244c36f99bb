// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOG_H_
#define RWKVD_SERVICE_LOG_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace rwkvd {

// The log of the process. Each line has the time (UTC) and the level. Lines go
// to the standard output through a queue, so that no thread waits for their
// reader; while the queue is full, lines are dropped, and a later line says how
// many. Thread-safe.

// The form of the lines: text, or one JSON object each.
enum class LogFormat { kText, kJson };

// Drops lines below `level`: "debug", "info", "warn" or "error". Also logs the
// messages of gRPC: its errors at warn, but at most one in ten seconds, and all
// others at debug. Called once.
void InitLog(absl::string_view level, LogFormat format = LogFormat::kText);

// Waits until all earlier lines have been written, at most for `time`.
void FlushLog(absl::Duration time);

// The number of lines that were dropped since the start.
int64_t NumDroppedLogLines();

bool DebugLogEnabled();
bool InfoLogEnabled();

// A named value in a line: name=value in text, a member of the object in JSON.
struct LogField {
  std::string name;  // lower case with underscores
  // Untrusted text, an integer, or a number of seconds.
  std::variant<std::string, int64_t, double> value;
};

void LogDebug(absl::string_view line, absl::Span<const LogField> fields = {});
void LogInfo(absl::string_view line);
void LogWarning(absl::string_view line, absl::Span<const LogField> fields = {});
// Logs `what` with fields at level info.
void LogEvent(absl::string_view what, absl::Span<const LogField> fields);

// The line of `what` with fields, without time and level. In JSON, members of
// an object, without its braces.
std::string FormatLine(LogFormat format, absl::string_view what,
                       absl::Span<const LogField> fields);

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
  bool Warning(absl::string_view line, absl::Span<const LogField> fields = {})
      ABSL_LOCKS_EXCLUDED(mutex_);

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
