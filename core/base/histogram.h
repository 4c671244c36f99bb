// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_HISTOGRAM_H_
#define RWKVD_CORE_BASE_HISTOGRAM_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// Counts observations in buckets, in the manner of Prometheus but without
// knowing it: a scrape reads a snapshot, and observing takes no lock.
//
// Thread-safe. A snapshot taken during an Observe may miss it, never tears it.
class Histogram {
 public:
  struct Snapshot {
    std::vector<double> bounds;        // upper bounds, ascending; +inf implied
    std::vector<uint64_t> cumulative;  // bounds.size() + 1: counts <= bound
    double sum = 0;
  };

  explicit Histogram(absl::Span<const double> bounds);

  void Observe(double value) { Observe(value, 1); }
  // As `count` observations of the same value.
  void Observe(double value, uint64_t count);

  Snapshot Read() const;

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;  // per bucket, not cumulative
  std::atomic<double> sum_{0};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_HISTOGRAM_H_
