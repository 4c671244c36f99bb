// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/gptq_quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/float16.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

Floats Normal(int64_t num, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Floats values(num);
  for (float& value : values) value = normal(random);
  return values;
}

// A full Hessian of correlated inputs.
Floats RandomFullHessian(int64_t cols, uint32_t seed) {
  const int64_t num = 3 * cols;
  const Floats noise = Normal(num * (cols + 2), seed);
  Floats hessian(cols * cols), x(cols);
  for (int64_t n = 0; n < num; ++n) {
    const float* const from = noise.data() + n * (cols + 2);
    for (int64_t i = 0; i < cols; ++i) {
      x[i] =
          from[i] + 2 * from[cols] + static_cast<float>(i % 3) * from[cols + 1];
    }
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        hessian[i * cols + j] += x[i] * x[j] / static_cast<float>(num);
      }
    }
  }
  return hessian;
}

// So many inputs that MakeGptqFactors trusts the Hessian.
constexpr int64_t kMany = int64_t{1} << 50;

struct PackedBlock {
  QuantizeArgs args;
  std::vector<uint8_t> quants;
  std::vector<uint16_t> scales;
  bool ok = false;

  double Scale(int64_t row, int64_t col) const {
    return BF16ToFloat(
        scales[col / kGroupCols * PackedBlockRows(args.type, args.order) +
               row]);
  }
  // As core/kernels/quant/layout.h defines it.
  int Quant(int64_t row, int64_t col) const {
    const QuantPosition position =
        PositionInPackedBlock(args.type, args.order, row, col);
    const int byte = quants[position.byte];
    if (args.type == QuantType::kInt8) return byte;
    return position.is_high_nibble ? byte >> 4 : byte & 0x0F;
  }
  double Weight(int64_t row, int64_t col) const {
    const int q = Quant(row, col);
    return Scale(row, col) *
           ((args.type == QuantType::kInt8 ? q : 16 * q) - kQuantZero);
  }
};

class GptqQuantizeTest
    : public ::testing::TestWithParam<std::tuple<QuantType, QuantOrder>> {
 protected:
  QuantType type() const { return std::get<0>(GetParam()); }
  QuantOrder order() const { return std::get<1>(GetParam()); }

  // Without spans: QuantizePackedBlock.
  PackedBlock Run(const Floats& w, int64_t rows,
                  const std::vector<GptqFactors>& spans = {}) {
    const int64_t cols = static_cast<int64_t>(w.size()) / rows;
    PackedBlock block;
    block.quants.assign(PackedBlockBytes(type(), order(), cols), 0xAA);
    block.scales.assign(cols / kGroupCols * PackedBlockRows(type(), order()),
                        0xAAAA);
    block.args = {.type = type(),
                  .order = order(),
                  .w = w.data(),
                  .rows = rows,
                  .cols = cols,
                  .quants = block.quants.data(),
                  .scales = block.scales.data()};
    block.ok = spans.empty() ? QuantizePackedBlock(block.args)
                             : GptqQuantize(block.args, spans);
    return block;
  }
};

// e H e^T, in double.
double ErrorOf(const Doubles& e, const Doubles& hessian) {
  const int64_t cols = static_cast<int64_t>(e.size());
  double sum = 0;
  for (int64_t i = 0; i < cols; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      sum += e[i] * hessian[i * cols + j] * e[j];
    }
  }
  return sum;
}

// The errors of a row: before - after rounding.
Doubles ErrorsOf(const PackedBlock& block, int64_t row) {
  Doubles e(block.args.cols);
  for (int64_t i = 0; i < block.args.cols; ++i) {
    e[i] = block.args.w[row * block.args.cols + i] - block.Weight(row, i);
  }
  return e;
}

// The sum of ErrorOf over all rows.
double OutputError(const PackedBlock& block, const Floats& hessian) {
  double sum = 0;
  for (int64_t row = 0; row < block.args.rows; ++row) {
    sum +=
        ErrorOf(ErrorsOf(block, row), Doubles(hessian.begin(), hessian.end()));
  }
  return sum;
}

// The Hessian with the damping that MakeGptqFactors adds to its diagonal.
Doubles Damped(const Floats& hessian, int64_t cols) {
  Doubles damped(hessian.begin(), hessian.end());
  double mean = 0;
  for (int64_t i = 0; i < cols; ++i) mean += hessian[i * cols + i] / cols;
  for (int64_t i = 0; i < cols; ++i) {
    damped[i * cols + i] += kHessianDamping * mean;
  }
  return damped;
}

// The inverse of a positive definite matrix [n, n], by Gauss-Jordan
// elimination.
Doubles Inverse(Doubles a, int64_t n) {
  Doubles b(n * n);
  for (int64_t i = 0; i < n; ++i) b[i * n + i] = 1;
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = a[k * n + k];
    for (int64_t j = 0; j < n; ++j) {
      a[k * n + j] /= pivot;
      b[k * n + j] /= pivot;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double times = a[i * n + k];
      for (int64_t j = 0; j < n; ++j) {
        a[i * n + j] -= times * a[k * n + j];
        b[i * n + j] -= times * b[k * n + j];
      }
    }
  }
  return b;
}

// The errors of one row that is rounded by the algorithm of the GPTQ paper:
// after each column, all columns that are left are set to the values that
// compensate best, and the column is eliminated from the inverse of the
// Hessian. The scales are those of `block`.
Doubles ErrorsOfThePaper(const PackedBlock& block, int64_t row,
                         const Doubles& hessian, const GptqFactors& factors) {
  const int64_t cols = block.args.cols;
  const bool is_int8 = block.args.type == QuantType::kInt8;
  Doubles inverse = Inverse(hessian, cols);
  Doubles w(block.args.w + row * cols, block.args.w + (row + 1) * cols);
  Doubles errors = w;
  for (const int32_t k : factors.order) {
    const double step = block.Scale(row, k) * (is_int8 ? 1 : 16);
    const double n = std::clamp(std::nearbyint(w[k] / step),
                                is_int8 ? -127.0 : -8.0, is_int8 ? 127.0 : 7.0);
    errors[k] -= step * n;
    const double error = (w[k] - step * n) / inverse[k * cols + k];
    Doubles column(cols);
    for (int64_t i = 0; i < cols; ++i) column[i] = inverse[i * cols + k];
    for (int64_t i = 0; i < cols; ++i) {
      w[i] -= error * column[i];
      for (int64_t j = 0; j < cols; ++j) {
        if (column[k] == 0) continue;
        inverse[i * cols + j] -= column[i] * column[j] / column[k];
      }
    }
    // The rounded column no longer takes part.
    for (int64_t i = 0; i < cols; ++i) {
      inverse[i * cols + k] = inverse[k * cols + i] = 0;
    }
  }
  return errors;
}

TEST_P(GptqQuantizeTest, ErrsLessThanTheAlgorithmOfTheGptqPaper) {
  constexpr int64_t kCols = 2 * kGroupCols;
  const int64_t kRows = PackedBlockRows(type(), order());
  const Floats hessian = RandomFullHessian(kCols, 1);
  const Floats w = Normal(kRows * kCols, 2);
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kMany);
  ASSERT_TRUE(factors.has_value());
  const PackedBlock block = Run(w, kRows, {*factors});
  ASSERT_TRUE(block.ok);
  const Doubles damped = Damped(hessian, kCols);
  double sum = 0, sum_of_paper = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    sum += ErrorOf(ErrorsOf(block, row), damped);
    sum_of_paper +=
        ErrorOf(ErrorsOfThePaper(block, row, damped, *factors), damped);
  }
  EXPECT_LT(sum, 0.96 * sum_of_paper);
}

// The least e H e^T over all ways to round the columns `free` of a row to one
// of the six nearest numbers, while the other columns stay as they are.
double LeastError(const PackedBlock& block, int64_t row, const Doubles& hessian,
                  const std::vector<int64_t>& free) {
  const bool is_int8 = block.args.type == QuantType::kInt8;
  constexpr int kWays = 6;
  Doubles e = ErrorsOf(block, row);
  int num = 1;
  for (size_t i = 0; i < free.size(); ++i) num *= kWays;
  double least = std::numeric_limits<double>::infinity();
  for (int way = 0; way < num; ++way) {
    bool exists = true;
    int rest = way;
    for (const int64_t col : free) {
      const double step = block.Scale(row, col) * (is_int8 ? 1 : 16);
      const double w = block.args.w[row * block.args.cols + col];
      const double n = std::floor(w / step) - 2 + rest % kWays;
      rest /= kWays;
      exists &= n >= (is_int8 ? -127 : -8) && n <= (is_int8 ? 127 : 7);
      e[col] = w - step * n;
    }
    if (exists) least = std::min(least, ErrorOf(e, hessian));
  }
  return least;
}

TEST_P(GptqQuantizeTest, FindsTheOptimumOfFewCorrelatedColumns) {
  constexpr int64_t kCols = kGroupCols, kRows = 12;
  // Columns 5, 20, 21 and 63 are rounded first.
  const std::vector<int64_t> together = {5, 20, 21, 63};
  const Floats some = RandomFullHessian(kGroupCols, 11);
  Floats hessian(kCols * kCols);
  for (int64_t i = 0; i < kCols; ++i) hessian[i * kCols + i] = 0.5f;
  for (const int64_t i : together) {
    for (const int64_t j : together) {
      hessian[i * kCols + j] = 9 * some[i * kCols + j];
    }
  }
  const Floats w = Normal(kRows * kCols, 12);
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kMany);
  ASSERT_TRUE(factors.has_value());
  const PackedBlock block = Run(w, kRows, {*factors});
  ASSERT_TRUE(block.ok);
  const Doubles damped = Damped(hessian, kCols);
  for (int64_t row = 0; row < kRows; ++row) {
    const double least = LeastError(block, row, damped, together);
    EXPECT_NEAR(ErrorOf(ErrorsOf(block, row), damped), least, 1e-4 * least)
        << "row " << row;
  }
}

TEST_P(GptqQuantizeTest, ErrsLessThanRoundingToNearest) {
  constexpr int64_t kCols = 3 * kGroupCols;
  const int64_t rows = PackedBlockRows(type(), order());
  const Floats hessian = RandomFullHessian(kCols, 3);
  const Floats w = Normal(rows * kCols, 4);
  const auto factors = MakeGptqFactors(hessian.data(), kCols, kMany);
  ASSERT_TRUE(factors.has_value());
  const PackedBlock compensated = Run(w, rows, {*factors});
  ASSERT_TRUE(compensated.ok);
  EXPECT_LT(OutputError(compensated, hessian),
            0.5 * OutputError(Run(w, rows), hessian));
}

TEST_P(GptqQuantizeTest, UncorrelatedInputsGiveTheBytesOfRoundingToNearest) {
  constexpr int64_t kCols = 3 * kGroupCols;
  const int64_t rows = PackedBlockRows(type(), order()) - 3;
  Floats w = Normal(rows * kCols, 5);
  std::fill_n(w.begin() + kGroupCols, kGroupCols, 0.0f);
  std::vector<GptqFactors> spans;
  for (const int64_t cols : {2 * kGroupCols, kGroupCols}) {
    Floats hessian(cols * cols);
    for (int64_t i = 0; i < cols; ++i) hessian[i * cols + i] = 3;
    spans.push_back(*MakeGptqFactors(hessian.data(), cols, kMany));
  }
  const PackedBlock plain = Run(w, rows), compensated = Run(w, rows, spans);
  ASSERT_TRUE(plain.ok);
  ASSERT_TRUE(compensated.ok);
  EXPECT_EQ(compensated.quants, plain.quants);
  EXPECT_EQ(compensated.scales, plain.scales);
}

TEST_P(GptqQuantizeTest, SpansAreIndependent) {
  constexpr int64_t kRows = 5;
  const Floats hessian = RandomFullHessian(kGroupCols, 6);
  const GptqFactors factors =
      *MakeGptqFactors(hessian.data(), kGroupCols, kMany);
  const Floats left = Normal(kRows * kGroupCols, 7);
  const Floats right = Normal(kRows * kGroupCols, 8);
  Floats both;
  for (int64_t row = 0; row < kRows; ++row) {
    for (const Floats* half : {&left, &right}) {
      const auto first = half->begin() + row * kGroupCols;
      both.insert(both.end(), first, first + kGroupCols);
    }
  }
  const PackedBlock block = Run(both, kRows, {factors, factors});
  const PackedBlock first = Run(left, kRows, {factors});
  const PackedBlock second = Run(right, kRows, {factors});
  ASSERT_TRUE(block.ok && first.ok && second.ok);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t col = 0; col < kGroupCols; ++col) {
      ASSERT_EQ(block.Weight(row, col), first.Weight(row, col));
      ASSERT_EQ(block.Weight(row, kGroupCols + col), second.Weight(row, col));
    }
  }
}

TEST_P(GptqQuantizeTest, RefusesAWeightThatIsNotFinite) {
  const Floats hessian = RandomFullHessian(kGroupCols, 9);
  const GptqFactors factors =
      *MakeGptqFactors(hessian.data(), kGroupCols, kMany);
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    Floats w = Normal(2 * kGroupCols, 10);
    w[kGroupCols + 17] = bad;
    EXPECT_FALSE(Run(w, 2, {factors}).ok);
  }
}

std::string Name(
    const ::testing::TestParamInfo<std::tuple<QuantType, QuantOrder>>& info) {
  const auto [type, order] = info.param;
  return std::string(type == QuantType::kInt8 ? "int8" : "int4") +
         (order == QuantOrder::kRowPanels ? "Rows" : "Columns");
}

INSTANTIATE_TEST_SUITE_P(
    Forms, GptqQuantizeTest,
    ::testing::Combine(::testing::Values(QuantType::kInt8, QuantType::kInt4),
                       ::testing::Values(QuantOrder::kRowPanels,
                                         QuantOrder::kColumnBlocks)),
    Name);

}  // namespace
}  // namespace rwkvd
