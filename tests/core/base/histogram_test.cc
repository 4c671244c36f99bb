// SPDX-License-Identifier: Apache-2.0
#include "core/base/histogram.h"

#include <limits>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

TEST(HistogramTest, StartsEmpty) {
  const Histogram::Snapshot snapshot = Histogram({1.0, 2.0}).Read();
  EXPECT_THAT(snapshot.bounds, ElementsAre(1, 2));
  EXPECT_THAT(snapshot.cumulative, ElementsAre(0, 0, 0));
  EXPECT_EQ(snapshot.sum, 0);
}

TEST(HistogramTest, BoundsAreInclusive) {
  Histogram histogram({1.0, 2.0});
  for (const double value : {0.5, 1.0, 1.5, 2.0, 2.5}) histogram.Observe(value);
  EXPECT_THAT(histogram.Read().cumulative, ElementsAre(2, 4, 5));
  EXPECT_EQ(histogram.Read().sum, 7.5);
}

TEST(HistogramTest, ObserveWithCountAddsThatManyObservations) {
  Histogram histogram({1.0});
  histogram.Observe(0.25, 8);
  EXPECT_THAT(histogram.Read().cumulative, ElementsAre(8, 8));
  EXPECT_EQ(histogram.Read().sum, 2);
}

TEST(HistogramTest, NanAndInfinityAreAboveEveryBound) {
  Histogram histogram({1.0});
  histogram.Observe(std::numeric_limits<double>::quiet_NaN());
  histogram.Observe(std::numeric_limits<double>::infinity());
  histogram.Observe(-std::numeric_limits<double>::infinity());
  EXPECT_THAT(histogram.Read().cumulative, ElementsAre(1, 3));
}

TEST(HistogramTest, ConcurrentObservationsAreAllCounted) {
  Histogram histogram({10.0, 100.0});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram] {
      for (int i = 0; i < 10000; ++i) histogram.Observe(i % 2 == 0 ? 1 : 50);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(histogram.Read().cumulative, ElementsAre(20000, 40000, 40000));
  EXPECT_EQ(histogram.Read().sum, 4 * 5000 * 51);
}

}  // namespace
}  // namespace rwkvd
