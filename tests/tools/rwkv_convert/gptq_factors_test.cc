// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/gptq_factors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/kernels/quant/layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::Each;

// The number of random inputs.
constexpr int64_t kNum = 500;

// The lower triangle of the sums of x^T x over kNum correlated random inputs x.
std::vector<float> RandomHessian(int64_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> hessian(cols * cols), x(cols);
  for (int64_t n = 0; n < kNum; ++n) {
    const float common = normal(random);
    for (int64_t i = 0; i < cols; ++i) {
      x[i] = (normal(random) + common) * static_cast<float>(1 + i * 7 % 5);
    }
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j <= i; ++j) hessian[i * cols + j] += x[i] * x[j];
    }
  }
  return hessian;
}

double Mean(const std::vector<float>& hessian, int64_t cols) {
  double sum = 0;
  for (int64_t i = 0; i < cols; ++i) sum += hessian[i * cols + i];
  return sum / static_cast<double>(cols);
}

// Compares F D F^T with the Hessian in double precision, after computing D from
// the last column on.
TEST(GptqFactorsTest, FactorizesTheDampedHessianInTheOrderOfRounding) {
  constexpr int64_t kCols = 2 * kGroupCols;
  const std::vector<float> hessian = RandomHessian(kCols, 1);
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kNum);
  ASSERT_TRUE(factors.has_value());
  const double damping = kHessianDamping * Mean(hessian, kCols);
  const auto f = [&](int64_t i, int64_t k) -> double {
    return i > k ? 0 : factors->factor[i * kCols + k];
  };
  std::vector<double> d(kCols);
  for (int64_t i = kCols - 1; i >= 0; --i) {
    for (int64_t j = kCols - 1; j >= 0; --j) {
      const int64_t a = factors->order[i], b = factors->order[j];
      const double sum = hessian[std::max(a, b) * kCols + std::min(a, b)];
      const double expected =
          a == b ? sum + damping : sum * kNum / (kNum + kCols);
      double got = 0;
      for (int64_t k = std::max(i, j) + (i == j); k < kCols; ++k) {
        got += f(i, k) * d[k] * f(j, k);
      }
      if (i == j) {
        d[i] = expected - got;
        EXPECT_GT(d[i], 0);
      } else if (j > i) {
        EXPECT_NEAR(got, expected, 1e-4 * Mean(hessian, kCols));
      }
    }
  }
}

TEST(GptqFactorsTest, DiagonalCompletesTheFactorization) {
  constexpr int64_t kCols = kGroupCols;
  const std::vector<float> hessian = RandomHessian(kCols, 4);
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kNum);
  ASSERT_TRUE(factors.has_value());
  const double damping = kHessianDamping * Mean(hessian, kCols);
  for (int64_t i = 0; i < kCols; ++i) {
    const int64_t a = factors->order[i];
    double sum = 0;
    for (int64_t k = i; k < kCols; ++k) {
      const double f = factors->factor[i * kCols + k];
      sum += f * f * factors->diagonal[k];
    }
    const double expected = hessian[a * (kCols + 1)] + damping;
    EXPECT_NEAR(sum, expected, 1e-5 * expected);
  }
}

// The change of a row times H is the share of the error that was asked for. The
// rows lie in the middle of a larger matrix and have a stride.
TEST(GptqFactorsTest, CorrectWeightsSolvesTheLeastSquaresProblem) {
  constexpr int64_t kCols = 2 * kGroupCols, kStride = kCols + 5;
  constexpr int64_t kFirst = 2, kRows = 3;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const auto draw = [&](int64_t num) {
    std::vector<float> values(num);
    for (float& value : values) value = normal(random);
    return values;
  };
  const std::vector<float> hessian = RandomHessian(kCols, 6);
  auto factors = MakeGptqFactors(hessian.data(), kCols, int64_t{1} << 50);
  ASSERT_TRUE(factors.has_value());
  factors->input_error = draw(kCols * kCols);
  factors->correction_share = 0.25f;
  const double damping = kHessianDamping * Mean(hessian, kCols);
  const std::vector<float> before = draw(kRows * kStride);
  for (const bool adds : {false, true}) {
    if (adds) factors->stream_error = draw((kFirst + kRows) * kCols);
    std::vector<float> rows = before;
    CorrectWeights(*factors, kFirst, kRows, rows.data(), kStride);
    for (int64_t row = 0; row < kRows; ++row) {
      const float* const w = before.data() + row * kStride;
      const float* const got = rows.data() + row * kStride;
      for (int64_t j = 0; j < kCols; ++j) {
        double asked =
            adds ? factors->stream_error[(kFirst + row) * kCols + j] : 0.0;
        double sum = damping * (got[j] - w[j]);
        for (int64_t i = 0; i < kCols; ++i) {
          asked += double{w[i]} * factors->input_error[i * kCols + j];
          sum += (double{got[i]} - w[i]) *
                 hessian[std::max(i, j) * kCols + std::min(i, j)];
        }
        ASSERT_NEAR(sum, 0.25 * asked, 0.02) << row << ", " << j;
      }
      for (int64_t j = kCols; j < kStride; ++j) ASSERT_EQ(got[j], w[j]);
    }
  }
}

TEST(GptqFactorsTest, CorrectWeightsWithoutErrorSumsDoesNothing) {
  const std::vector<float> hessian = RandomHessian(kGroupCols, 7);
  const auto factors = MakeGptqFactors(hessian.data(), kGroupCols, kNum);
  ASSERT_TRUE(factors.has_value());
  std::vector<float> row(kGroupCols, 3.0f);
  CorrectWeights(*factors, 0, 1, row.data(), kGroupCols);
  EXPECT_THAT(row, Each(3.0f));
}

TEST(GptqFactorsTest, OrdersByMomentButKeepsGroupsTogether) {
  constexpr int64_t kCols = 3 * kGroupCols;
  std::vector<float> hessian(kCols * kCols);
  for (int64_t i = 0; i < kCols; ++i) {
    hessian[i * kCols + i] = static_cast<float>(1 + i / kGroupCols * 2 % 3);
  }
  hessian[5 * kCols + 5] = 50;
  hessian[(kGroupCols + 9) * (kCols + 1)] = 2000;
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kNum);
  ASSERT_TRUE(factors.has_value());
  std::vector<int32_t> expected = {kGroupCols + 9};
  for (int32_t i = 0; i < kGroupCols; ++i) {
    if (i != 9) expected.push_back(kGroupCols + i);
  }
  for (int32_t i = 0; i < kGroupCols; ++i) {
    expected.push_back(2 * kGroupCols + i);
  }
  expected.push_back(5);
  for (int32_t i = 0; i < kGroupCols; ++i) {
    if (i != 5) expected.push_back(i);
  }
  EXPECT_EQ(factors->order, expected);
}

TEST(GptqFactorsTest, UncorrelatedInputsGiveTheIdentityAsFactor) {
  constexpr int64_t kCols = kGroupCols;
  for (const float moment : {0.0f, 3.0f}) {
    std::vector<float> hessian(kCols * kCols);
    for (int64_t i = 0; i < kCols; ++i) hessian[i * kCols + i] = moment;
    const auto factors = MakeGptqFactors(hessian.data(), kCols, kNum);
    ASSERT_TRUE(factors.has_value());
    for (int64_t i = 0; i < kCols; ++i) {
      EXPECT_EQ(factors->factor[i * kCols + i], 1);
      EXPECT_THAT(
          std::vector<float>(factors->factor.begin() + i * kCols + i + 1,
                             factors->factor.begin() + (i + 1) * kCols),
          Each(0));
    }
  }
}

TEST(GptqFactorsTest, NonFiniteMomentsGiveNoFactors) {
  constexpr int64_t kCols = kGroupCols;
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (const int64_t at : {3 * kCols + 3, 9 * kCols + 2}) {
      std::vector<float> hessian = RandomHessian(kCols, 2);
      hessian[at] = bad;
      EXPECT_FALSE(MakeGptqFactors(hessian.data(), kCols, kNum).has_value());
    }
  }
}

}  // namespace
}  // namespace rwkvd
