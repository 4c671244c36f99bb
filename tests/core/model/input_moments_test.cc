// SPDX-License-Identifier: Apache-2.0
#include "core/model/input_moments.h"

#include <limits>
#include <random>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/matrix.h"
#include "core/model/workspace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kCols = 2 * kGroupCols, kRows = 3, kX = 300;

std::vector<float> Random(int64_t num, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(num);
  for (float& value : values) value = normal(random);
  return values;
}

Matrix View(const std::vector<float>& weights, int64_t cols) {
  return {.rows = static_cast<int64_t>(weights.size()) / cols,
          .cols = cols,
          .data = reinterpret_cast<const std::byte*>(weights.data()),
          .stride = cols};
}

// The moments of the rows of x [num, cols], in double.
std::vector<float> Moments(const std::vector<float>& x, int64_t cols) {
  std::vector<double> sums(cols * cols);
  for (size_t row = 0; row < x.size(); row += cols) {
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        sums[i * cols + j] += double{x[row + i]} * x[row + j];
      }
    }
  }
  return {sums.begin(), sums.end()};
}

class InputMomentsTest : public ::testing::Test {
 protected:
  // Of what is watched with `watched`, while rows of x meet it.
  std::vector<Feedback> Gather(std::vector<float>& x, int threads,
                               bool each = false) {
    ThreadPool pool(threads);
    InputMoments moments(&pool);
    const int64_t num = static_cast<int64_t>(x.size()) / kCols;
    const Matrix w = View(weights_, kCols), other = View(others_, kCols);
    moments.Watch(w.data, kCols);
    Workspace workspace(0, num, &pool);
    workspace.set_observer(&moments);
    std::vector<float> y(2 * num * kRows);
    const Product products[] = {
        {&w, {x.data(), num, kCols}, {y.data(), num, kRows}},
        {&other, {x.data(), num, kCols}, {&y[num * kRows], num, kRows}}};
    if (each) {
      const int64_t half = num / 2;
      MatMulEach(BestKernels(), workspace,
                 {{&w, {x.data(), half, kCols}, {y.data(), half, kRows}},
                  {&w,
                   {&x[half * kCols], num - half, kCols},
                   {&y[num * kRows], num - half, kRows}}});
    } else {
      MatMul(BestKernels(), workspace, products);
    }
    workspace.set_observer(nullptr);
    MatMul(BestKernels(), workspace, products);  // nobody sees it
    return moments.MakeFeedbacks(w.data);
  }

  std::vector<float> weights_ = Random(kRows * kCols, 1);
  std::vector<float> others_ = Random(kRows * kCols, 2);
  std::vector<float> x_ = Random(kX * kCols, 3);
};

TEST_F(InputMomentsTest, FeedbackIsThatOfTheInputsOfTheProduct) {
  const auto expected = MakeFeedback(Moments(x_, kCols).data(), kCols, kX);
  for (const bool each : {false, true}) {
    const std::vector<Feedback> got = Gather(x_, 2, each);
    ASSERT_THAT(got, SizeIs(1));
    EXPECT_EQ(got[0].order, expected->order);
    for (int64_t i = 0; i < kCols; ++i) {
      for (int64_t k = i; k < kCols; ++k) {
        ASSERT_NEAR(got[0].factor[i * kCols + k],
                    expected->factor[i * kCols + k], 1e-4);
      }
    }
  }
}

TEST_F(InputMomentsTest, TheSameBitsOnAnyNumberOfThreads) {
  const std::vector<Feedback> one = Gather(x_, 1), three = Gather(x_, 3);
  ASSERT_THAT(one, SizeIs(1));
  ASSERT_THAT(three, SizeIs(1));
  EXPECT_EQ(one[0].order, three[0].order);
  EXPECT_EQ(one[0].factor, three[0].factor);
}

TEST_F(InputMomentsTest, WideMatricesHaveSeveralSpans) {
  constexpr int64_t kSpan = 2 * kGroupCols, kWide = kSpan + kGroupCols;
  ThreadPool pool(2);
  InputMoments moments(&pool, kSpan);
  EXPECT_EQ(moments.BytesFor(kWide),
            4 * (kSpan * kSpan + kGroupCols * kGroupCols));
  const std::vector<float> weights(kWide);
  const Matrix w = View(weights, kWide);
  moments.Watch(w.data, kWide);
  EXPECT_TRUE(moments.IsWatched(w.data));
  EXPECT_FALSE(moments.IsWatched(w.data + 4));
  // Of each span, the column that is rounded first tells that it was seen.
  std::vector<float> x(kWide);
  x[7] = 1;
  x[kWide - 3] = 1;
  moments.OnInputs(w, {x.data(), 1, kWide});
  const std::vector<Feedback> feedback = moments.MakeFeedbacks(w.data);
  ASSERT_THAT(feedback, SizeIs(2));
  EXPECT_EQ(feedback[0].cols(), kSpan);
  EXPECT_EQ(feedback[0].order[0], 7);
  EXPECT_EQ(feedback[1].cols(), kGroupCols);
  EXPECT_EQ(feedback[1].order[0], kGroupCols - 3);
}

TEST_F(InputMomentsTest, InputsThatAreNotFiniteGiveNothing) {
  x_[kCols + 5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Gather(x_, 2), IsEmpty());
}

}  // namespace
}  // namespace rwkvd
