// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOAD_PROGRESS_H_
#define RWKVD_SERVICE_LOAD_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/base/monotonic_clock.h"
#include "service/log.h"

namespace rwkvd {

// The progress of reading the model's files. It is logged at every tenth, but
// at most every 2 seconds, and at least every 20 seconds.
//
// Owned by the server. Only the loading thread calls Begin and Update; any
// thread may call ratio.
class LoadProgress {
 public:
  explicit LoadProgress(std::function<absl::Time()> clock = MonotonicNow,
                        std::function<void(absl::string_view)> log = &LogInfo);

  // Starts the time from which the logged speed is computed. `doing` is what
  // the log says: "verifying the model", for example.
  void Begin(absl::string_view doing = "reading the model");
  void Update(int64_t bytes_done, int64_t bytes_all);

  // The share of the files that has been read, in [0, 1].
  double ratio() const { return ratio_.load(std::memory_order_relaxed); }

 private:
  bool IsDue(int64_t tenths, absl::Time now) const;

  const std::function<absl::Time()> clock_;
  const std::function<void(absl::string_view)> log_;
  std::atomic<double> ratio_{0};
  std::string doing_;
  absl::Time begin_;
  int64_t logged_tenths_ = 0;
  absl::Time logged_at_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOAD_PROGRESS_H_
