// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_USAGE_LOG_H_
#define RWKVD_SERVICE_AUTH_USAGE_LOG_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "service/line_queue.h"
#include "service/log.h"

namespace rwkvd {

// A file with one JSON object per line for each call that has ended, for
// accounting: who made it, its tokens and its end, but nothing of prompts and
// outputs. A thread writes the lines, so that no call waits for the disk; lines
// that do not fit in its queue (LineQueue::kMaxBytes) are dropped, and counted.
//
// Owned by the server; outlives the calls. Thread-safe.
class UsageLog {
 public:
  // Opens the file to append to it, or creates it with mode 0600. Returns the
  // error of the operating system, with the path.
  static absl::StatusOr<std::unique_ptr<UsageLog>> Open(
      const std::string& path);
  // Writes what still waits.
  ~UsageLog();

  // Adds a line with these fields. `now` is a time of the system's clock.
  void Add(absl::Time now, absl::Span<const LogField> fields);

  // Opens the file anew before the next line is written, since another program
  // has renamed it. If that fails, the renamed file stays in use, and the log
  // says so. Does not block.
  void ReopenSoon() { reopens_ = true; }

  // The lines that are lost: those that were dropped, and those of which a part
  // could not be written.
  int64_t num_lost() const { return queue_->num_dropped() + num_failed_; }

 private:
  UsageLog(std::string path, int fd);

  // On the thread of the queue.
  void Write(absl::string_view lines);
  void Reopen();

  const std::string path_;
  int fd_;
  std::atomic<bool> reopens_{false};
  std::atomic<int64_t> num_failed_{0};
  LimitedLog failure_log_;
  // Its thread uses all of the above. Null only while this object is destroyed.
  std::unique_ptr<LineQueue> queue_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_USAGE_LOG_H_
