// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_RECENT_RATE_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_RECENT_RATE_H_

#include <array>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace rwkvd {

// How much of something happened per second recently. Time is an argument.
// Owned by the engine; thread-compatible.
class RecentRate {
 public:
  // The full seconds that a rate covers, before the current one.
  static constexpr int64_t kSeconds = 10;

  // Records that `num` happened at `now`.
  void Add(int64_t num, absl::Time now);

  // The mean from kSeconds before the current second until `now`.
  double PerSecond(absl::Time now) const;

 private:
  struct Second {
    int64_t number = std::numeric_limits<int64_t>::min();  // since the epoch
    int64_t num = 0;                                       // happened in it
  };

  std::array<Second, kSeconds + 1> seconds_;  // by number % size
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_RECENT_RATE_H_
