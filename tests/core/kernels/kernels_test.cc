// SPDX-License-Identifier: Apache-2.0
// Every kernel of every instruction set that this processor has, against the
// same formula in double precision, for sizes around the vector widths.

#include "core/kernels/kernels.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/base/float16.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Floats = std::vector<float>;

// Half a unit in the last place of 1: the relative error of one rounding.
constexpr double kRounding = 0x1p-24;

const size_t kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257};

class KernelsTest : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }

  Floats Normal(size_t n, float mean = 0, float deviation = 1) {
    std::normal_distribution<float> normal(mean, deviation);
    Floats values(n);
    for (float& value : values) value = normal(random_);
    return values;
  }

  std::mt19937_64 random_{3};
};

// Weights as they are stored, one byte away from any alignment, and as the
// numbers they stand for.
struct Weights {
  std::vector<char> bytes;
  Floats values;
  const void* data() const { return bytes.data() + 1; }
};

Weights Store(const Floats& values, DType dtype) {
  Weights weights;
  weights.bytes.push_back(0);
  const auto append = [&](const auto& bits) {
    const char* begin = reinterpret_cast<const char*>(&bits);
    weights.bytes.insert(weights.bytes.end(), begin, begin + sizeof(bits));
  };
  for (float value : values) {
    switch (dtype) {
      case DType::kF32:
        append(value);
        weights.values.push_back(value);
        break;
      case DType::kF16:
        append(FloatToF16(value));
        weights.values.push_back(F16ToFloat(FloatToF16(value)));
        break;
      case DType::kBF16:
        append(FloatToBF16(value));
        weights.values.push_back(BF16ToFloat(FloatToBF16(value)));
        break;
    }
  }
  return weights;
}

TEST_P(KernelsTest, MatMulIsWithinTheBoundOfItsSums) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (size_t cols : kSizes) {
      for (int64_t rows : {1, 4, 9}) {
        for (int64_t num_x : {1, 2, 3, 5, 6, 11}) {
          const Weights w = Store(Normal(rows * cols), dtype);
          const Floats x = Normal(num_x * cols);
          Floats y(num_x * rows, NAN);
          kernels().matmul({.dtype = dtype,
                            .w = w.data(),
                            .w_stride = static_cast<int64_t>(cols),
                            .cols = static_cast<int64_t>(cols),
                            .num_x = num_x,
                            .x = x.data(),
                            .x_stride = static_cast<int64_t>(cols),
                            .y = y.data(),
                            .y_stride = rows},
                           0, rows);
          for (int64_t i = 0; i < num_x; ++i) {
            for (int64_t r = 0; r < rows; ++r) {
              double sum = 0, magnitude = 0;
              for (size_t c = 0; c < cols; ++c) {
                const double term =
                    double{w.values[r * cols + c]} * x[i * cols + c];
                sum += term;
                magnitude += std::abs(term);
              }
              // Each of the n terms passes through at most n roundings.
              ASSERT_NEAR(y[i * rows + r], sum, cols * kRounding * magnitude)
                  << NameOf(dtype) << " " << rows << "x" << cols << " row "
                  << i;
            }
          }
        }
      }
    }
  }
}

TEST_P(KernelsTest, MatMulGivesTheSameBitsForAnyCutAndAnyCompany) {
  constexpr int64_t kRows = 23, kCols = 77, kX = 17;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const Weights w = Store(Normal(kRows * kCols), dtype);
    const Floats x = Normal(kX * kCols);
    const auto multiply = [&](int64_t first_x, int64_t num_x, int64_t begin,
                              int64_t end, Floats* y) {
      kernels().matmul({.dtype = dtype,
                        .w = w.data(),
                        .w_stride = kCols,
                        .cols = kCols,
                        .num_x = num_x,
                        .x = x.data() + first_x * kCols,
                        .x_stride = kCols,
                        .y = y->data() + first_x * kRows,
                        .y_stride = kRows},
                       begin, end);
    };
    Floats whole(kX * kRows), parts(kX * kRows);
    multiply(0, kX, 0, kRows, &whole);
    for (int64_t x_step : {1, 2, 4, 7}) {
      for (int64_t row_step : {1, 3, 4, 6}) {
        for (int64_t i = 0; i < kX; i += x_step) {
          for (int64_t r = 0; r < kRows; r += row_step) {
            multiply(i, std::min(x_step, kX - i), r,
                     std::min(r + row_step, kRows), &parts);
          }
        }
        EXPECT_EQ(parts, whole) << x_step << " " << row_step;
      }
    }
  }
}

TEST_P(KernelsTest, ToFloatIsExactForEvery16BitPattern) {
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> bits(1 << 16);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    Floats got(bits.size());
    kernels().to_float(dtype, bits.data(), bits.size(), got.data());
    for (size_t i = 0; i < bits.size(); ++i) {
      const float expected =
          dtype == DType::kF16 ? F16ToFloat(bits[i]) : BF16ToFloat(bits[i]);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(got[i])) << i;
      } else {
        ASSERT_EQ(got[i], expected) << NameOf(dtype) << " " << i;
      }
    }
  }
}

TEST_P(KernelsTest, ToFloatWritesNothingBehindTheEnd) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (size_t n : kSizes) {
      const Weights w = Store(Normal(n), dtype);
      Floats got(n + 1, 99);
      kernels().to_float(dtype, w.data(), n, got.data());
      EXPECT_EQ(got.back(), 99);
      got.pop_back();
      EXPECT_EQ(got, w.values);
    }
  }
}

TEST_P(KernelsTest, LayerNormFollowsItsFormula) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n, 3, 2), weight = Normal(n), bias = Normal(n);
    Floats y(n);
    kernels().layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n,
                         y.data());
    double mean = 0, variance = 0;
    for (float value : x) mean += value / double(n);
    for (float value : x) variance += (value - mean) * (value - mean) / n;
    for (size_t i = 0; i < n; ++i) {
      const double expected =
          (x[i] - mean) / std::sqrt(variance + double{1e-5f}) * weight[i] +
          bias[i];
      // The mean is off by n roundings of its terms, and a single value has a
      // variance of nearly nothing to divide by.
      const double bound = (n + 8) * kRounding * 8 * std::abs(weight[i]) /
                               std::sqrt(variance + 1e-5) +
                           4 * kRounding * (std::abs(expected) + 1);
      EXPECT_NEAR(y[i], expected, bound) << n << " " << i;
    }
  }
}

TEST_P(KernelsTest, TokenShiftMixesTwoTokens) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n), previous = Normal(n), mix = Normal(n, .5f, .3f);
    Floats y(n);
    kernels().token_shift(x.data(), previous.data(), mix.data(), n, y.data());
    for (size_t i = 0; i < n; ++i) {
      const double a = double{x[i]} * mix[i];
      const double b = double{previous[i]} * (1 - double{mix[i]});
      EXPECT_NEAR(
          y[i], a + b,
          4 * kRounding * (std::abs(a) + std::abs(b) + std::abs(previous[i])));
    }
  }
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The weighted mean of the paper, from sums that are not rescaled.
TEST_P(KernelsTest, Wkv4IsTheWeightedMeanOfThePaper) {
  constexpr int kTokens = 20;
  for (size_t n : kSizes) {
    Floats decay = Normal(n, -2, 2);
    for (float& d : decay) d = -std::exp(d);
    const Floats bonus = Normal(n, -1, 1);
    Floats aa(n, 0), bb(n, 0), pp(n, -1e30f), out(n);
    std::vector<double> sum(n, 0), weights(n, 0);
    for (int t = 0; t < kTokens; ++t) {
      const Floats k = Normal(n, 0, 3), v = Normal(n), r = Normal(n, 0, 2);
      kernels().wkv4({.k = k.data(),
                      .v = v.data(),
                      .r = r.data(),
                      .decay = decay.data(),
                      .bonus = bonus.data(),
                      .aa = aa.data(),
                      .bb = bb.data(),
                      .pp = pp.data(),
                      .out = out.data()},
                     n);
      for (size_t i = 0; i < n; ++i) {
        const double now = std::exp(double{bonus[i]} + k[i]);
        const double mean = (sum[i] + now * v[i]) / (weights[i] + now);
        // A mean of values below 5, from exponents below 16 in size.
        EXPECT_NEAR(out[i], Sigmoid(r[i]) * mean, 64 * 5 * kRounding * (t + 1))
            << n << " " << i << " " << t;
        sum[i] =
            sum[i] * std::exp(double{decay[i]}) + std::exp(double{k[i]}) * v[i];
        weights[i] =
            weights[i] * std::exp(double{decay[i]}) + std::exp(double{k[i]});
      }
    }
  }
}

// Keys this large overflow e^k; the recurrence must not.
TEST_P(KernelsTest, Wkv4SurvivesHugeKeys) {
  constexpr size_t kN = 3;
  const Floats decay(kN, -1), bonus(kN, 0), v = {1, 2, 3}, r(kN, 100);
  Floats aa(kN, 0), bb(kN, 0), pp(kN, -1e30f), out(kN);
  for (const Floats& k : {Floats{200, -200, 1e4f}, Floats{-200, 200, -1e4f},
                          Floats{500, 500, 500}}) {
    kernels().wkv4({k.data(), v.data(), r.data(), decay.data(), bonus.data(),
                    aa.data(), bb.data(), pp.data(), out.data()},
                   kN);
    // The mean of equal values is that value.
    for (size_t i = 0; i < kN; ++i) EXPECT_FLOAT_EQ(out[i], v[i]) << k[i];
  }
}

TEST_P(KernelsTest, ElementwiseKernelsFollowTheirFormulas) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n), y = Normal(n), gate = Normal(n, 0, 30);
    Floats squared = x, added = x, gated = x;
    kernels().squared_relu(n, squared.data());
    kernels().add(y.data(), n, added.data());
    kernels().add_gated(gate.data(), y.data(), n, gated.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(squared[i], x[i] > 0 ? x[i] * x[i] : 0);
      EXPECT_EQ(added[i], x[i] + y[i]);
      EXPECT_NEAR(gated[i], x[i] + Sigmoid(gate[i]) * y[i],
                  8 * kRounding * (std::abs(x[i]) + std::abs(y[i])));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTargets, KernelsTest,
                         ::testing::ValuesIn(SupportedKernels()),
                         [](const auto& info) {
                           return std::string(info.param->name);
                         });

TEST(KernelTablesTest, EveryTableIsFoundByItsName) {
  for (const KernelTable* table : SupportedKernels()) {
    EXPECT_EQ(FindKernels(table->name), table);
  }
  EXPECT_EQ(FindKernels("abacus"), nullptr);
  EXPECT_EQ(&BestKernels(), SupportedKernels().front());
}

TEST(KernelTablesTest, TablesAreOfDifferentInstructionSets) {
  std::vector<std::string> names;
  for (const KernelTable* table : SupportedKernels()) {
    names.push_back(table->name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_GE(names.size(), 2u) << "portable code and at least one better";
}

}  // namespace
}  // namespace rwkvd
