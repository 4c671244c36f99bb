// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_REFUSAL_LOG_H_
#define RWKVD_SERVICE_LISTENER_REFUSAL_LOG_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// Decides when to log an event that a client can cause as often as it likes:
// the first one, and then at most one line per period, with the number of
// events since the line before.
//
// Times are those of one clock that never goes back. Thread-compatible.
class RefusalLog {
 public:
  explicit RefusalLog(absl::Duration period) : period_(period) {}

  // An event has occurred. Returns the line to log, or an empty string.
  std::string Add(absl::string_view text, absl::Duration now);

 private:
  const absl::Duration period_;
  absl::Duration last_ = -absl::InfiniteDuration();
  int64_t suppressed_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_REFUSAL_LOG_H_
