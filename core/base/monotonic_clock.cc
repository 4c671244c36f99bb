// SPDX-License-Identifier: Apache-2.0
#include "core/base/monotonic_clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace rwkvd {
namespace {

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

}  // namespace rwkvd
