// SPDX-License-Identifier: Apache-2.0
#include "service/states/store_time.h"

#include <time.h>

#include "absl/time/clock.h"

namespace rwkvd {

StoreTime StoreTime::Now() {
  timespec since_boot;
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return {absl::Now(), absl::DurationFromTimespec(since_boot)};
}

}  // namespace rwkvd
