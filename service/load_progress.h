// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LOAD_PROGRESS_H_
#define RWKVD_SERVICE_LOAD_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "service/log.h"

namespace rwkvd {

// How far the reading of the model's files has come. Tells the log now and
// then: at every tenth, but not more often than every other second, and after
// some more seconds whatever has come of it.
//
// Owned by the server. Begin and Update are called by the loading thread alone,
// ratio by any.
class LoadProgress {
 public:
  explicit LoadProgress(std::function<absl::Time()> clock = absl::Now,
                        std::function<void(absl::string_view)> log = &LogInfo);

  // The reading begins, and the time that the log's speed is taken over.
  void Begin();
  void Update(int64_t bytes_done, int64_t bytes_all);

  // In [0, 1].
  double ratio() const { return ratio_.load(std::memory_order_relaxed); }

 private:
  bool IsDue(int64_t tenths, absl::Time now) const;

  const std::function<absl::Time()> clock_;
  const std::function<void(absl::string_view)> log_;
  std::atomic<double> ratio_{0};
  absl::Time begin_;
  int64_t told_tenths_ = 0;
  absl::Time told_at_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LOAD_PROGRESS_H_
