// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/hessian_accumulator.h"

#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/matrix.h"
#include "core/model/rows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kCols = 2 * kGroupCols, kRows = 3;
// More tokens than are buffered.
constexpr int64_t kX = 1100;

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

// The sums of a^T b over the rows of both, in double precision.
std::vector<float> Sums(const std::vector<float>& a, int64_t a_cols,
                        const std::vector<float>& b, int64_t b_cols) {
  std::vector<double> sums(a_cols * b_cols);
  for (size_t row = 0; row * b_cols < b.size(); ++row) {
    for (int64_t i = 0; i < a_cols; ++i) {
      for (int64_t j = 0; j < b_cols; ++j) {
        sums[i * b_cols + j] +=
            double{a[row * a_cols + i]} * b[row * b_cols + j];
      }
    }
  }
  return {sums.begin(), sums.end()};
}

std::vector<float> Difference(const std::vector<float>& a,
                              const std::vector<float>& b) {
  std::vector<float> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return difference;
}

Rows RowsOf(std::vector<float>& values, int64_t width) {
  return {values.data(), static_cast<int64_t>(values.size()) / width, width};
}

class HessianAccumulatorTest : public ::testing::Test {
 protected:
  // The factors of w_ after its inputs, original_ and x_, in two pieces.
  std::vector<GptqFactors> Gather(int threads, int64_t stream_width = kRows) {
    ThreadPool pool(threads);
    HessianAccumulator hessian(&BestKernels(), &pool);
    hessian.Track(w_.data, kCols, stream_width);
    hessian.Track(w_.data, kCols, stream_width);  // does nothing
    for (const auto& [first, num] : {std::pair(0, 130), {130, kX - 130}}) {
      const Rows original = {&original_[first * kCols], num, kCols};
      const Rows rounded = {&x_[first * kCols], num, kCols};
      hessian.AddOriginal(w_, original);
      hessian.AddOriginal(other_, rounded);
      hessian.set_stream_error({&stream_error_[first * kRows], num, kRows});
      hessian.AddRounded(other_, original);
      hessian.AddRounded(w_, rounded);
    }
    return hessian.MakeFactors(w_.data);
  }

  std::vector<float> weights_ = Random(kRows * kCols, 1);
  std::vector<float> others_ = Random(kRows * kCols, 2);
  const Matrix w_ = View(weights_, kCols), other_ = View(others_, kCols);
  std::vector<float> x_ = Random(kX * kCols, 3);
  std::vector<float> original_ = Random(kX * kCols, 4);
  std::vector<float> stream_error_ = Random(kX * kRows, 5);
};

void ExpectNear(const std::vector<float>& got,
                const std::vector<float>& expected, double error) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], expected[i], error) << i;
  }
}

TEST_F(HessianAccumulatorTest, FactorsAreThoseOfTheSumsOfInputs) {
  const auto expected =
      MakeGptqFactors(Sums(x_, kCols, x_, kCols).data(), kCols, kX);
  const std::vector<GptqFactors> got = Gather(2);
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].order, expected->order);
  ExpectNear(got[0].factor, expected->factor, 1e-4);
  ExpectNear(got[0].input_error,
             Sums(Difference(original_, x_), kCols, x_, kCols), 1e-6 * kX * 10);
  ExpectNear(got[0].stream_error, Sums(stream_error_, kRows, x_, kCols),
             1e-6 * kX * 10);
  EXPECT_FLOAT_EQ(got[0].correction_share,
                  static_cast<float>(kX) / (kX + kCorrectionDoubt * kCols));
}

TEST_F(HessianAccumulatorTest, MatricesOutsideTheStreamDoNotCorrectIt) {
  const std::vector<GptqFactors> got = Gather(2, /*stream_width=*/0);
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_THAT(got[0].stream_error, IsEmpty());
}

TEST_F(HessianAccumulatorTest, BitIdenticalOnAnyNumberOfThreads) {
  const std::vector<GptqFactors> one = Gather(1), three = Gather(3);
  ASSERT_THAT(one, SizeIs(1));
  ASSERT_THAT(three, SizeIs(1));
  EXPECT_EQ(one[0].order, three[0].order);
  EXPECT_EQ(one[0].factor, three[0].factor);
  EXPECT_EQ(one[0].input_error, three[0].input_error);
  EXPECT_EQ(one[0].stream_error, three[0].stream_error);
}

TEST_F(HessianAccumulatorTest, WideMatricesAreSplitIntoSpans) {
  constexpr int64_t kSpan = 2 * kGroupCols, kWide = kSpan + kGroupCols;
  ThreadPool pool(2);
  HessianAccumulator hessian(&BestKernels(), &pool, kSpan);
  const std::vector<float> weights(kWide);
  const Matrix w = View(weights, kWide);
  hessian.Track(w.data, kWide, 0);
  // The column that is rounded first shows which input a span has seen.
  std::vector<float> x(kWide);
  x[7] = 1;
  x[kWide - 3] = 1;
  hessian.AddOriginal(w, RowsOf(x, kWide));
  hessian.AddRounded(w, RowsOf(x, kWide));
  const std::vector<GptqFactors> factors = hessian.MakeFactors(w.data);
  ASSERT_THAT(factors, SizeIs(2));
  EXPECT_EQ(factors[0].cols(), kSpan);
  EXPECT_EQ(factors[0].order[0], 7);
  EXPECT_EQ(factors[1].cols(), kGroupCols);
  EXPECT_EQ(factors[1].order[0], kGroupCols - 3);
}

TEST_F(HessianAccumulatorTest, NonFiniteInputsGiveNoFactors) {
  for (std::vector<float>* const inputs : {&x_, &original_}) {
    const float was = std::exchange((*inputs)[kCols + 5],
                                    std::numeric_limits<float>::quiet_NaN());
    EXPECT_THAT(Gather(2), IsEmpty());
    (*inputs)[kCols + 5] = was;
  }
}

}  // namespace
}  // namespace rwkvd
