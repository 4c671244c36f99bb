// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_HISTOGRAM_H_
#define RWKVD_CORE_BASE_HISTOGRAM_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// A histogram with the semantics of Prometheus but no dependency on it.
//
// Thread-safe, without locks. A snapshot that is taken during an Observe may
// hold its count and not its value in `sum`, or the reverse.
class Histogram {
 public:
  struct Snapshot {
    std::vector<double> bounds;        // upper bounds, ascending; +inf implied
    std::vector<uint64_t> cumulative;  // bounds.size() + 1: counts <= bound
    double sum = 0;
  };

  explicit Histogram(absl::Span<const double> bounds);

  void Observe(double value) { Observe(value, 1); }
  // Adds `count` observations of the same value.
  void Observe(double value, uint64_t count);

  Snapshot Read() const;

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;  // per bucket, not cumulative
  std::atomic<double> sum_{0};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_HISTOGRAM_H_
