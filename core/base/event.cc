// SPDX-License-Identifier: Apache-2.0
#include "core/base/event.h"

#include <algorithm>
#include <limits>

#include "core/base/futex.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {
namespace {

// A wait that is longer consists of several.
constexpr absl::Duration kMaxSleep = absl::Hours(1);

}  // namespace

void Event::Notify() {
  happened_.store(1, std::memory_order_release);
  FutexWake(happened_, std::numeric_limits<int>::max());
}

bool Event::WaitFor(absl::Duration time) const {
  const absl::Time end = MonotonicNow() + time;
  while (!HasHappened()) {
    const absl::Duration left = std::min(end - MonotonicNow(), kMaxSleep);
    if (left <= absl::ZeroDuration()) return false;
    // At least one microsecond: zero would mean no limit.
    FutexWait(happened_, 0,
              absl::ToChronoMicroseconds(left + absl::Microseconds(1)));
  }
  return true;
}

}  // namespace rwkvd
