// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/logit_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr size_t kSizes[] = {1, 2, 7, 8, 63, 64, 65, 100, 128, 1000, 50277};

class LogitKernelsTest : public ::testing::TestWithParam<const LogitKernels*> {
 protected:
  const LogitKernels& kernels() const { return *GetParam(); }

  // Returns a random row in which one of eight values is NaN or infinite.
  std::vector<float> RandomRow(size_t n, float deviation) {
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> row(n);
    for (float& logit : row) {
      logit = normal(random_);
      switch (random_() % 24) {
        case 0:
          logit = kNan;
          break;
        case 1:
          logit = kInfinity;
          break;
        case 2:
          logit = -kInfinity;
          break;
      }
    }
    return row;
  }

  std::mt19937_64 random_{5};
};

float LargestOf(const std::vector<float>& row, size_t begin, size_t end) {
  float largest = -kInfinity;
  for (size_t i = begin; i < std::min(end, row.size()); ++i) {
    if (std::isfinite(row[i])) largest = std::max(largest, row[i]);
  }
  return largest;
}

TEST_P(LogitKernelsTest, BlockMaxReturnsMaximumOfEachBlock) {
  for (const size_t n : kSizes) {
    const std::vector<float> row = RandomRow(n, 3);
    std::vector<float> maxima(NumLogitBlocks(n));
    kernels().block_max(row.data(), n, maxima.data());
    for (size_t b = 0; b < maxima.size(); ++b) {
      EXPECT_EQ(maxima[b],
                LargestOf(row, b * kLogitBlock, (b + 1) * kLogitBlock));
    }
  }
}

TEST_P(LogitKernelsTest, BlockMaxOfNonFiniteBlockIsMinusInfinity) {
  const std::vector<float> row = {kNan, kInfinity, -kInfinity};
  float largest = 0;
  kernels().block_max(row.data(), row.size(), &largest);
  EXPECT_EQ(largest, -kInfinity);
}

TEST_P(LogitKernelsTest, BlockSumExpMatchesReference) {
  for (const size_t n : kSizes) {
    for (const double scale : {1.0, 0.25, 3.0}) {
      const std::vector<float> row = RandomRow(n, 3);
      const float largest = std::max(LargestOf(row, 0, n), -1e30f);
      std::vector<double> sums(NumLogitBlocks(n));
      kernels().block_sum_exp(row.data(), n, largest, scale, sums.data());
      for (size_t b = 0; b < sums.size(); ++b) {
        long double expected = 0;
        for (size_t i = b * kLogitBlock; i < std::min(n, (b + 1) * kLogitBlock);
             ++i) {
          if (!std::isfinite(row[i])) continue;
          expected += std::exp((static_cast<long double>(row[i]) - largest) *
                               static_cast<long double>(scale));
        }
        // 64 terms, each with an error of at most 100 units.
        EXPECT_NEAR(sums[b], static_cast<double>(expected),
                    170 * 0x1p-53 * static_cast<double>(expected));
      }
    }
  }
}

TEST_P(LogitKernelsTest, BlockSumExpIsBitIdenticalToExp) {
  // One logit per block, so that the order of additions does not matter.
  const std::vector<float> row = RandomRow(4096, 20);
  for (const double scale : {1.0, 0.7, 7e44}) {
    for (const float logit : row) {
      if (!std::isfinite(logit)) continue;
      double sum = -1;
      kernels().block_sum_exp(&logit, 1, 90.0f, scale, &sum);
      EXPECT_EQ(sum, Exp(double{logit} - 90, scale));
    }
  }
}

TEST_P(LogitKernelsTest, ExpKernelIsBitIdenticalToExp) {
  for (const size_t n : kSizes) {
    std::vector<float> row(n);
    for (float& logit : row) logit = -static_cast<float>(random_() % 9999) / 99;
    std::vector<double> weights(n);
    kernels().exp(row.data(), n, 0.5f, 0.7, weights.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(weights[i], Exp(double{row[i]} - 0.5, 0.7));
    }
  }
}

TEST_P(LogitKernelsTest, FindAtLeastReturnsAscendingIndices) {
  for (const size_t n : kSizes) {
    for (const float lowest : {-kInfinity, -3.0f, 0.0f, 2.5f, 100.0f}) {
      const std::vector<float> row = RandomRow(n, 1);
      std::vector<int32_t> expected;
      for (size_t i = 0; i < n; ++i) {
        if (std::isfinite(row[i]) && row[i] >= lowest) expected.push_back(i);
      }
      // The buffer has the minimum size, so that a sanitizer detects stores
      // beyond it.
      std::vector<int32_t> ids(n, -1);
      ids.resize(kernels().find_at_least(row.data(), n, lowest, ids.data()));
      EXPECT_EQ(ids, expected) << n << " " << lowest;
    }
  }
}

TEST_P(LogitKernelsTest, FindAtLeastIncludesEqualLogits) {
  const std::vector<float> row = {1.0f, 2.0f, std::nextafter(2.0f, 0.0f)};
  std::vector<int32_t> ids(3);
  ids.resize(kernels().find_at_least(row.data(), 3, 2.0f, ids.data()));
  EXPECT_EQ(ids, std::vector<int32_t>{1});
}

// So that the sampled token depends only on the logits.
TEST_P(LogitKernelsTest, InstructionSetsAreBitIdentical) {
  const LogitKernels& other = *SupportedLogitKernels().back();
  for (const float deviation : {0.1f, 3.0f, 300.0f}) {
    const std::vector<float> row = RandomRow(65536 - 13, deviation);
    const float largest = LargestOf(row, 0, row.size());
    std::vector<double> a(NumLogitBlocks(row.size()));
    std::vector<double> b = a;
    kernels().block_sum_exp(row.data(), row.size(), largest, 1 / 0.3, a.data());
    other.block_sum_exp(row.data(), row.size(), largest, 1 / 0.3, b.data());
    EXPECT_EQ(a, b);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LogitKernelsTest,
                         ::testing::ValuesIn(SupportedLogitKernels()),
                         [](const auto& info) {
                           return std::string(info.param->name);
                         });

TEST(ExpTest, ErrorIsWithinBound) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 100000; ++i) {
    const double x = -std::ldexp(static_cast<double>(random() >> 11),
                                 -53 - static_cast<int>(random() % 10) + 9);
    const double expected =
        static_cast<double>(std::exp(static_cast<long double>(x)));
    EXPECT_NEAR(Exp(x), expected, (2 - x) * 0x1p-52 * expected) << x;
  }
  EXPECT_EQ(Exp(0), 1);
}

TEST(ExpTest, TinyResultsAreZero) {
  EXPECT_GT(Exp(-708), 0);
  EXPECT_EQ(Exp(-709), 0);
  EXPECT_EQ(Exp(-6e38), 0);
  EXPECT_EQ(Exp(-1, 7e44), 0);
  EXPECT_EQ(Exp(0, 7e44), 1);
}

}  // namespace
}  // namespace rwkvd
