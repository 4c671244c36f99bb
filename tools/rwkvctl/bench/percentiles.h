// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_PERCENTILES_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_PERCENTILES_H_

#include <cstdint>
#include <vector>

namespace rwkvd {

// The distribution of a duration, in constant memory: a histogram in which each
// bucket's bound is kStep times the one before it. Count, mean, minimum and
// maximum are exact; the error of a quantile is at most half a bucket, 0.5 %.
//
// Thread-compatible.
class Percentiles {
 public:
  static constexpr double kStep = 1.01;      // ratio of adjacent bounds
  static constexpr double kSmallest = 1e-7;  // seconds; bound of first bucket
  static constexpr double kLargest = 1e5;    // seconds; last bucket is open

  Percentiles();

  // Adds one observation. Negative values count as 0.
  void Add(double seconds);
  // Adds all observations of `other`.
  void Merge(const Percentiles& other);

  int64_t count() const { return count_; }
  // In seconds; 0 without observations.
  double mean() const { return count_ > 0 ? sum_ / count_ : 0; }
  double min() const { return min_; }
  double max() const { return max_; }
  // The smallest value that at least a fraction `share`, in (0, 1], of the
  // observations do not exceed.
  double Quantile(double share) const;

 private:
  std::vector<int64_t> counts_;  // per bucket
  int64_t count_ = 0;
  double sum_ = 0;
  double min_ = 0;
  double max_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_PERCENTILES_H_
