// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/percentiles.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace rwkvd {
namespace {

const double kLogStep = std::log(Percentiles::kStep);

// Bucket 0 holds values up to kSmallest; bucket i holds those between
// kSmallest * kStep^(i - 1) and kSmallest * kStep^i.
size_t BucketOf(double seconds) {
  if (!(seconds > Percentiles::kSmallest)) return 0;
  const double bounded = std::min(seconds, Percentiles::kLargest);
  return static_cast<size_t>(
      std::ceil(std::log(bounded / Percentiles::kSmallest) / kLogStep));
}

double MiddleOf(size_t bucket) {
  return Percentiles::kSmallest *
         std::exp((static_cast<double>(bucket) - 0.5) * kLogStep);
}

}  // namespace

Percentiles::Percentiles() : counts_(BucketOf(kLargest) + 1) {}

void Percentiles::Add(double seconds) {
  seconds = std::max(seconds, 0.0);
  ++counts_[BucketOf(seconds)];
  min_ = count_ == 0 ? seconds : std::min(min_, seconds);
  max_ = std::max(max_, seconds);
  sum_ += seconds;
  ++count_;
}

void Percentiles::Merge(const Percentiles& other) {
  if (other.count_ == 0) return;
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

double Percentiles::Quantile(double share) const {
  if (count_ == 0) return 0;
  const int64_t rank = std::clamp<int64_t>(
      static_cast<int64_t>(std::ceil(share * static_cast<double>(count_))), 1,
      count_);
  if (rank == count_) return max_;
  int64_t seen = 0;
  size_t bucket = 0;
  while ((seen += counts_[bucket]) < rank) ++bucket;
  return std::clamp(MiddleOf(bucket), min_, max_);
}

}  // namespace rwkvd
