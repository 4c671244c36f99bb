// SPDX-License-Identifier: Apache-2.0
#include "core/base/monotonic_clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(5);

absl::Duration SinceBoot() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

absl::Time MonotonicNow() {
  static const absl::Time kBoot = absl::Now() - SinceBoot();
  return kBoot + SinceBoot();
}

bool PollUntil(absl::FunctionRef<bool()> condition, absl::Duration time) {
  const absl::Time end = MonotonicNow() + time;
  while (!condition()) {
    if (MonotonicNow() >= end) return false;
    absl::SleepFor(kPollInterval);
  }
  return true;
}

}  // namespace rwkvd
