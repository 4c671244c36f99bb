// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CLOCK_READING_H_
#define RWKVD_SERVICE_LISTENER_CLOCK_READING_H_

#include "absl/time/time.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {

// The time since a fixed but arbitrary moment, by the clock of MonotonicNow.
inline absl::Duration ClockReading() {
  return MonotonicNow() - absl::UnixEpoch();
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CLOCK_READING_H_
