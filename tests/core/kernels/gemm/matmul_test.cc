// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/kernels/kernels_fixture.h"

namespace rwkvd {
namespace {

class MatMulTest : public KernelsTest {};

TEST_P(MatMulTest, MatMulIsWithinItsErrorBound) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (size_t cols : kSizes) {
      for (int64_t rows : {1, 4, 9, 35}) {
        for (int64_t num_x : {1, 2, 3, 5, 6, 11, 18, 35}) {
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
              // Each of the n terms goes through at most n roundings.
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

// Multiplies weights [rows, cols] by `num_x` rows of x in one call, and in many
// calls for some rows of the weights and of x each. Expects bit-identical
// results.
void ExpectBitIdenticalInParts(const KernelTable& kernels, const Weights& w,
                               DType dtype, const Floats& x, int64_t rows,
                               int64_t cols, int64_t num_x) {
  const auto multiply = [&](int64_t first_x, int64_t some_x, int64_t begin,
                            int64_t end, Floats* y) {
    kernels.matmul({.dtype = dtype,
                    .w = w.data(),
                    .w_stride = cols,
                    .cols = cols,
                    .num_x = some_x,
                    .x = x.data() + first_x * cols,
                    .x_stride = cols,
                    .y = y->data() + first_x * rows,
                    .y_stride = rows},
                   begin, end);
  };
  Floats whole(num_x * rows), parts(num_x * rows);
  multiply(0, num_x, 0, rows, &whole);
  for (int64_t x_step : {1, 2, 4, 7, 17, 33}) {
    for (int64_t row_step : {1, 3, 4, 6, 16, 37}) {
      for (int64_t i = 0; i < num_x; i += x_step) {
        for (int64_t r = 0; r < rows; r += row_step) {
          multiply(i, std::min(x_step, num_x - i), r,
                   std::min(r + row_step, rows), &parts);
        }
      }
      ASSERT_EQ(parts, whole) << NameOf(dtype) << " " << rows << "x" << cols
                              << " " << x_step << " " << row_step;
    }
  }
}

TEST_P(MatMulTest, MatMulIsBitIdenticalForAnySplitAndAnyBatch) {
  struct Size {
    int64_t rows, cols, num_x;
  };
  // The last two are larger than what kernels take at a time.
  for (const Size& size :
       {Size{23, 77, 17}, {37, 96, 40}, {41, 1060, 70}, {530, 1056, 35}}) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      if (size.rows > 500 && dtype != DType::kBF16) continue;
      const Weights w = Store(Normal(size.rows * size.cols), dtype);
      ExpectBitIdenticalInParts(kernels(), w, dtype,
                                Normal(size.num_x * size.cols), size.rows,
                                size.cols, size.num_x);
    }
  }
}

TEST_P(MatMulTest, ToFloatIsExactForEvery16BitPattern) {
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

TEST_P(MatMulTest, ToFloatWritesNothingPastTheEnd) {
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

// Returns `values` [rows, cols] transposed to [cols, rows].
Floats Transposed(const Floats& values, int64_t rows, int64_t cols) {
  Floats transposed(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      transposed[c * rows + r] = values[r * cols + c];
    }
  }
  return transposed;
}

// Multiplies row-major weights [rows, cols] in one call, and the same weights
// in column-major order in two calls that split the rows at a third. Expects
// bit-identical results.
void ExpectBitIdenticalFromColMajor(const KernelTable& kernels, DType dtype,
                                    const Floats& values, const Floats& x,
                                    int64_t rows, int64_t cols) {
  const int64_t num_x = static_cast<int64_t>(x.size()) / cols;
  const Weights as_rows = Store(values, dtype);
  const Weights as_columns = Store(Transposed(values, rows, cols), dtype);
  Floats expected(num_x * rows, NAN), got(num_x * rows, NAN);
  MatMulArgs args = {.dtype = dtype,
                     .w = as_rows.data(),
                     .w_stride = cols,
                     .cols = cols,
                     .num_x = num_x,
                     .x = x.data(),
                     .x_stride = cols,
                     .y = expected.data(),
                     .y_stride = rows};
  kernels.matmul(args, 0, rows);
  args.transposed = true;
  args.w = as_columns.data();
  args.w_stride = rows;
  args.y = got.data();
  kernels.matmul(args, 0, rows / 3);
  kernels.matmul(args, rows / 3, rows);
  ASSERT_EQ(got, expected) << NameOf(dtype) << " " << rows << "x" << cols
                           << " times " << num_x;
}

// The storage order of a file must not change a result.
TEST_P(MatMulTest, ColMajorWeightsAreBitIdenticalToRowMajor) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (size_t cols : kSizes) {
      for (int64_t rows : {1, 5, 8, 16, 24, 33, 100, 600}) {
        for (int64_t num_x : {1, 3, 7, 20}) {
          if (rows > 100 && num_x % 20 > 1) continue;
          ExpectBitIdenticalFromColMajor(kernels(), dtype, Normal(rows * cols),
                                         Normal(num_x * cols), rows,
                                         static_cast<int64_t>(cols));
        }
      }
    }
  }
}

// As wide as a model of 14 billion weights, and wider than AMX multiplies.
TEST_P(MatMulTest, WideColMajorWeightsAreBitIdenticalToRowMajor) {
  for (int64_t cols : {4096, 4128, 16384, 16416}) {
    for (int64_t num_x : {1, 2, 40}) {
      ExpectBitIdenticalFromColMajor(kernels(), DType::kBF16, Normal(37 * cols),
                                     Normal(num_x * cols), 37, cols);
    }
  }
}

// Weights and activations that are subnormal numbers, or whose products are.
TEST_P(MatMulTest, SubnormalColMajorWeightsAreBitIdenticalToRowMajor) {
  constexpr int64_t kRows = 44, kCols = 64;
  for (float scale_of_x : {1.0f, 1e-5f, 1e-20f, 1e-40f}) {
    Floats values = Normal(kRows * kCols);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] *= std::pow(0.1f, static_cast<float>(i / kCols));
    }
    for (int64_t num_x : {1, 2, 20}) {
      Floats x = Normal(num_x * kCols);
      for (float& value : x) value *= scale_of_x;
      ExpectBitIdenticalFromColMajor(kernels(), DType::kBF16, values, x, kRows,
                                     kCols);
    }
  }
}

TEST_P(MatMulTest, WeightRowsMayHaveAStride) {
  constexpr int64_t kRows = 9, kCols = 21, kStride = 30;
  const Floats padded = Normal(kRows * kStride), x = Normal(2 * kCols);
  Floats dense;
  for (int64_t r = 0; r < kRows; ++r) {
    dense.insert(dense.end(), padded.begin() + r * kStride,
                 padded.begin() + r * kStride + kCols);
  }
  Floats expected(2 * kRows), got(2 * kRows);
  MatMulArgs args = {.w = dense.data(),
                     .w_stride = kCols,
                     .cols = kCols,
                     .num_x = 2,
                     .x = x.data(),
                     .x_stride = kCols,
                     .y = expected.data(),
                     .y_stride = kRows};
  kernels().matmul(args, 0, kRows);
  args.w = padded.data();
  args.w_stride = kStride;
  args.y = got.data();
  kernels().matmul(args, 0, kRows);
  EXPECT_EQ(got, expected);
}

RWKVD_TEST_KERNELS(MatMulTest, TablesOfMatMul());

}  // namespace
}  // namespace rwkvd
