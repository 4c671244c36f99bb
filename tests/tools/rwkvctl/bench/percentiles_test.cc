// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/percentiles.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// The quantile by the nearest-rank definition, computed from sorted values.
double ExactQuantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * values.size()));
  return values[std::max<size_t>(rank, 1) - 1];
}

// Random durations from a microsecond to 100 seconds.
std::vector<double> RandomDurations(int count, int seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(-6, 2);
  std::vector<double> values;
  for (int i = 0; i < count; ++i)
    values.push_back(std::pow(10, exponent(random)));
  return values;
}

Percentiles Of(const std::vector<double>& values) {
  Percentiles distribution;
  for (double value : values) distribution.Add(value);
  return distribution;
}

constexpr double kShares[] = {0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1};

TEST(PercentilesTest, QuantileErrorIsAtMostHalfAPercent) {
  for (int count : {1, 2, 3, 10, 99, 100, 101, 5000}) {
    const std::vector<double> values = RandomDurations(count, count);
    const Percentiles distribution = Of(values);
    for (double share : kShares) {
      const double exact = ExactQuantile(values, share);
      EXPECT_NEAR(distribution.Quantile(share), exact, 0.00501 * exact)
          << count << " values, " << share;
    }
  }
}

TEST(PercentilesTest, CountMeanAndExtremesAreExact) {
  const std::vector<double> values = RandomDurations(1000, 1);
  const Percentiles distribution = Of(values);
  EXPECT_EQ(distribution.count(), 1000);
  EXPECT_DOUBLE_EQ(distribution.mean(),
                   std::accumulate(values.begin(), values.end(), 0.0) / 1000);
  EXPECT_EQ(distribution.min(),
            *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(distribution.max(),
            *std::max_element(values.begin(), values.end()));
  EXPECT_EQ(distribution.Quantile(1), distribution.max());
}

TEST(PercentilesTest, MergeEqualsAddingAllValues) {
  std::vector<double> all = RandomDurations(300, 1);
  Percentiles merged = Of(all);
  const std::vector<double> others = RandomDurations(200, 2);
  merged.Merge(Of(others));
  merged.Merge(Percentiles());
  all.insert(all.end(), others.begin(), others.end());
  const Percentiles together = Of(all);
  EXPECT_EQ(merged.count(), together.count());
  EXPECT_EQ(merged.min(), together.min());
  EXPECT_EQ(merged.max(), together.max());
  EXPECT_NEAR(merged.mean(), together.mean(), 1e-12 * together.mean());
  for (double share : kShares) {
    EXPECT_EQ(merged.Quantile(share), together.Quantile(share)) << share;
  }
  Percentiles from_nothing;
  from_nothing.Merge(Of(others));
  EXPECT_EQ(from_nothing.min(), Of(others).min());
}

TEST(PercentilesTest, HandlesNoValuesAndValuesBeyondTheBuckets) {
  EXPECT_EQ(Percentiles().Quantile(0.5), 0);
  EXPECT_EQ(Percentiles().mean(), 0);
  const Percentiles zeros = Of({0, 0, -1});
  EXPECT_EQ(zeros.Quantile(0.5), 0);
  EXPECT_EQ(zeros.min(), 0);
  const Percentiles long_ones = Of({1e9, 2e9, 3e9});
  EXPECT_EQ(long_ones.max(), 3e9);
  EXPECT_GE(long_ones.Quantile(0.5), 1e9);
  EXPECT_LE(long_ones.Quantile(0.5), 3e9);
}

}  // namespace
}  // namespace rwkvd
