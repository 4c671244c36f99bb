// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LINE_QUEUE_H_
#define RWKVD_SERVICE_LINE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace rwkvd {

// Lines that wait to be written by a thread of their own, so that a thread that
// logs never waits for the reader of the standard output. Lines that do not fit
// in the queue are dropped, and counted.
//
// Thread-safe. Its thread handles no signals.
class LineQueue {
 public:
  // The most bytes that wait, and as many again that are being written.
  static constexpr size_t kMaxBytes = 256 << 10;

  // `write` writes bytes, on the thread of the queue. `report_dropped` is
  // called there after lines were dropped, with their number, once there is
  // room again; it may push a line.
  LineQueue(std::function<void(absl::string_view bytes)> write,
            std::function<void(int64_t num_lines)> report_dropped);
  // Writes what still waits.
  ~LineQueue();
  LineQueue(const LineQueue&) = delete;
  LineQueue& operator=(const LineQueue&) = delete;

  // Adds a line, which ends with a newline. Never waits.
  void Push(absl::string_view line) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits until all lines have been written that were pushed before, at most
  // for `time`.
  void Flush(absl::Duration time) ABSL_LOCKS_EXCLUDED(mutex_);

  // The number of lines that were dropped since the start.
  int64_t num_dropped() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::function<void(absl::string_view bytes)> write_;
  const std::function<void(int64_t num_lines)> report_dropped_;

  mutable absl::Mutex mutex_;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t num_dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LINE_QUEUE_H_
