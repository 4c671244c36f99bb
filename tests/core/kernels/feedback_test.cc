// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/feedback.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/kernels/quantized.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::Each;

// The lower triangle of the sums over kNum random inputs that go together.
constexpr int64_t kNum = 500;

std::vector<float> RandomMoments(int64_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> moments(cols * cols), x(cols);
  for (int64_t n = 0; n < kNum; ++n) {
    const float common = normal(random);
    for (int64_t i = 0; i < cols; ++i) {
      x[i] = (normal(random) + common) * static_cast<float>(1 + i * 7 % 5);
    }
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j <= i; ++j) moments[i * cols + j] += x[i] * x[j];
    }
  }
  return moments;
}

double Mean(const std::vector<float>& moments, int64_t cols) {
  double sum = 0;
  for (int64_t i = 0; i < cols; ++i) sum += moments[i * cols + i];
  return sum / static_cast<double>(cols);
}

// D from the last column on, then F D F^T against the moments, in double.
TEST(FeedbackTest, TheFactorIsThatOfTheMomentsInTheOrderOfRounding) {
  constexpr int64_t kCols = 2 * kGroupCols;
  const std::vector<float> moments = RandomMoments(kCols, 1);
  const auto feedback = MakeFeedback(moments.data(), kCols, kNum);
  ASSERT_TRUE(feedback.has_value());
  const double damping = kFeedbackDamping * Mean(moments, kCols);
  const auto f = [&](int64_t i, int64_t k) -> double {
    return i > k ? 0 : feedback->factor[i * kCols + k];
  };
  std::vector<double> d(kCols);
  for (int64_t i = kCols - 1; i >= 0; --i) {
    for (int64_t j = kCols - 1; j >= 0; --j) {
      const int64_t a = feedback->order[i], b = feedback->order[j];
      const double sum = moments[std::max(a, b) * kCols + std::min(a, b)];
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
        EXPECT_NEAR(got, expected, 1e-4 * Mean(moments, kCols));
      }
    }
  }
}

TEST(FeedbackTest, TheSpreadIsWhatTheFactorLeaves) {
  constexpr int64_t kCols = kGroupCols;
  const std::vector<float> moments = RandomMoments(kCols, 4);
  const auto feedback = MakeFeedback(moments.data(), kCols, kNum);
  ASSERT_TRUE(feedback.has_value());
  const double damping = kFeedbackDamping * Mean(moments, kCols);
  for (int64_t i = 0; i < kCols; ++i) {
    const int64_t a = feedback->order[i];
    double sum = 0;
    for (int64_t k = i; k < kCols; ++k) {
      const double f = feedback->factor[i * kCols + k];
      sum += f * f * feedback->spread[k];
    }
    const double expected = moments[a * (kCols + 1)] + damping;
    EXPECT_NEAR(sum, expected, 1e-5 * expected);
  }
}

// With `part` of it, in the middle of wider rows and of a larger matrix: what
// was added, times H, is what was asked for.
TEST(FeedbackTest, TheCorrectionIsThatOfLeastSquares) {
  constexpr int64_t kCols = 2 * kGroupCols, kStride = kCols + 5;
  constexpr int64_t kFirst = 2, kRows = 3;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const auto draw = [&](int64_t num) {
    std::vector<float> values(num);
    for (float& value : values) value = normal(random);
    return values;
  };
  const std::vector<float> moments = RandomMoments(kCols, 6);
  auto feedback = MakeFeedback(moments.data(), kCols, int64_t{1} << 50);
  ASSERT_TRUE(feedback.has_value());
  feedback->wanted = draw(kCols * kCols);
  feedback->part = 0.25f;
  const double damping = kFeedbackDamping * Mean(moments, kCols);
  const std::vector<float> before = draw(kRows * kStride);
  for (const bool adds : {false, true}) {
    if (adds) feedback->added = draw((kFirst + kRows) * kCols);
    std::vector<float> rows = before;
    Correct(*feedback, kFirst, kRows, rows.data(), kStride);
    for (int64_t row = 0; row < kRows; ++row) {
      const float* const w = before.data() + row * kStride;
      const float* const got = rows.data() + row * kStride;
      for (int64_t j = 0; j < kCols; ++j) {
        double asked = adds ? feedback->added[(kFirst + row) * kCols + j] : 0.0;
        double sum = damping * (got[j] - w[j]);
        for (int64_t i = 0; i < kCols; ++i) {
          asked += double{w[i]} * feedback->wanted[i * kCols + j];
          sum += (double{got[i]} - w[i]) *
                 moments[std::max(i, j) * kCols + std::min(i, j)];
        }
        ASSERT_NEAR(sum, 0.25 * asked, 0.02) << row << ", " << j;
      }
      for (int64_t j = kCols; j < kStride; ++j) ASSERT_EQ(got[j], w[j]);
    }
  }
}

TEST(FeedbackTest, WithoutSumsForItNothingIsCorrected) {
  const std::vector<float> moments = RandomMoments(kGroupCols, 7);
  const auto feedback = MakeFeedback(moments.data(), kGroupCols, kNum);
  ASSERT_TRUE(feedback.has_value());
  std::vector<float> row(kGroupCols, 3.0f);
  Correct(*feedback, 0, 1, row.data(), kGroupCols);
  EXPECT_THAT(row, Each(3.0f));
}

TEST(FeedbackTest, TheLargestComeFirstButGroupsStayTogether) {
  constexpr int64_t kCols = 3 * kGroupCols;
  std::vector<float> moments(kCols * kCols);
  for (int64_t i = 0; i < kCols; ++i) {
    moments[i * kCols + i] = static_cast<float>(1 + i / kGroupCols * 2 % 3);
  }
  moments[5 * kCols + 5] = 50;
  moments[(kGroupCols + 9) * (kCols + 1)] = 2000;
  const auto feedback = MakeFeedback(moments.data(), kCols, kNum);
  ASSERT_TRUE(feedback.has_value());
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
  EXPECT_EQ(feedback->order, expected);
}

TEST(FeedbackTest, InputsThatDoNotGoTogetherMakeUpForNothing) {
  constexpr int64_t kCols = kGroupCols;
  for (const float moment : {0.0f, 3.0f}) {
    std::vector<float> moments(kCols * kCols);
    for (int64_t i = 0; i < kCols; ++i) moments[i * kCols + i] = moment;
    const auto feedback = MakeFeedback(moments.data(), kCols, kNum);
    ASSERT_TRUE(feedback.has_value());
    for (int64_t i = 0; i < kCols; ++i) {
      EXPECT_EQ(feedback->factor[i * kCols + i], 1);
      EXPECT_THAT(
          std::vector<float>(feedback->factor.begin() + i * kCols + i + 1,
                             feedback->factor.begin() + (i + 1) * kCols),
          Each(0));
    }
  }
}

TEST(FeedbackTest, MomentsThatAreNotFiniteGiveNone) {
  constexpr int64_t kCols = kGroupCols;
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (const int64_t at : {3 * kCols + 3, 9 * kCols + 2}) {
      std::vector<float> moments = RandomMoments(kCols, 2);
      moments[at] = bad;
      EXPECT_FALSE(MakeFeedback(moments.data(), kCols, kNum).has_value());
    }
  }
}

}  // namespace
}  // namespace rwkvd
