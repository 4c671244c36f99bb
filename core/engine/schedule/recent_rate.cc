// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/recent_rate.h"

#include <cstddef>

namespace rwkvd {

void RecentRate::Add(int64_t num, absl::Time now) {
  const int64_t number = absl::ToUnixSeconds(now);
  const auto size = static_cast<int64_t>(seconds_.size());
  Second& second =
      seconds_[static_cast<size_t>(((number % size) + size) % size)];
  if (second.number != number) second = {number, 0};
  second.num += num;
}

double RecentRate::PerSecond(absl::Time now) const {
  const int64_t current = absl::ToUnixSeconds(now);
  int64_t num = 0;
  for (const Second& second : seconds_) {
    const bool is_recent =
        second.number >= current - kSeconds && second.number <= current;
    if (is_recent) num += second.num;
  }
  const absl::Duration begun = now - absl::FromUnixSeconds(current);
  return static_cast<double>(num) /
         (static_cast<double>(kSeconds) + absl::ToDoubleSeconds(begun));
}

}  // namespace rwkvd
