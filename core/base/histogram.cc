// SPDX-License-Identifier: Apache-2.0
#include "core/base/histogram.h"

#include <algorithm>
#include <functional>

#include "core/base/check.h"

namespace rwkvd {

Histogram::Histogram(absl::Span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {
  RWKVD_CHECK(std::is_sorted(bounds_.begin(), bounds_.end(),
                             std::less_equal<double>()));
}

void Histogram::Observe(double value, uint64_t count) {
  // `!(value <= bound)` and not `bound < value`, to count NaN in the last
  // bucket.
  const auto bucket =
      std::partition_point(bounds_.begin(), bounds_.end(),
                           [value](double bound) { return !(value <= bound); });
  counts_[bucket - bounds_.begin()].fetch_add(count, std::memory_order_relaxed);
  sum_.fetch_add(value * static_cast<double>(count), std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot snapshot;
  snapshot.bounds = bounds_;
  uint64_t cumulative = 0;
  for (const std::atomic<uint64_t>& count : counts_) {
    cumulative += count.load(std::memory_order_relaxed);
    snapshot.cumulative.push_back(cumulative);
  }
  snapshot.sum = sum_.load(std::memory_order_relaxed);
  return snapshot;
}

}  // namespace rwkvd
