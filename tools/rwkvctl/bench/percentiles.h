// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_PERCENTILES_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_PERCENTILES_H_

#include <cstdint>
#include <vector>

namespace rwkvd {

// How a duration was distributed over any number of observations, in memory
// that does not grow with them: buckets whose bounds lie kStep apart. Count,
// mean, least and largest are exact; a quantile is off by at most half a
// bucket, 0.5 %.
//
// Thread-compatible.
class Percentiles {
 public:
  static constexpr double kStep = 1.01;      // ratio of neighbouring bounds
  static constexpr double kSmallest = 1e-7;  // seconds; all below are alike
  static constexpr double kLargest = 1e5;    // seconds; all above are alike

  Percentiles();

  // One observation, in seconds; what is below 0 counts as 0.
  void Add(double seconds);
  // All observations of `other`.
  void Merge(const Percentiles& other);

  int64_t count() const { return count_; }
  // Of no observations, these are 0.
  double mean() const { return count_ > 0 ? sum_ / count_ : 0; }
  double min() const { return min_; }
  double max() const { return max_; }
  // The least value that `share` of the observations, in (0, 1], do not
  // exceed.
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
