// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/quantize/ggml_panels.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr int64_t kRows = 128, kCols = 128, kX = 3;

// Int8 weights in column blocks, all 1: scale 1, q 129.
class MatrixTest : public ::testing::Test {
 protected:
  Matrix Ones() {
    return {.rows = kRows,
            .cols = kCols,
            .quantized = QuantizedWeights{
                QuantType::kInt8, QuantOrder::kColumnBlocks, false, kRows,
                kCols, quants_.data(), scales_.data()}};
  }

  AlignedVector<uint8_t> quants_ = AlignedVector<uint8_t>(kRows * kCols, 129);
  std::vector<uint16_t> scales_ =
      std::vector<uint16_t>(kRows * kCols / kGroupCols, 0x3f80);
  ThreadPool pool_{2};
  Workspace workspace_{1024, kX, &pool_};
  AlignedVector<float> x_ = AlignedVector<float>(kX * kCols);
  AlignedVector<float> y_ = AlignedVector<float>(kX * kRows);
};

TEST_F(MatrixTest, QuantizedMatMulSkipsZeros) {
  const Matrix w = Ones();
  for (int64_t i = 0; i < kX; ++i) {
    for (int64_t c = 0; c <= i; ++c) x_[i * kCols + 7 * c] = 127;
  }
  MatMul(BestKernels(), workspace_,
         {{&w, {x_.data(), kX, kCols}, {y_.data(), kX, kRows}}});
  for (int64_t i = 0; i < kX; ++i) {
    for (int64_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(y_[i * kRows + r], 127.0f * (i + 1));
    }
  }
}

TEST_F(MatrixTest, ZeroShareCountsTheFirstRowSinceReset) {
  EXPECT_EQ(workspace_.zero_share(), 0);
  const Matrix w = Ones();
  x_[5] = 1;
  const MatMulOperands product = {
      &w, {x_.data(), 1, kCols}, {y_.data(), 1, kRows}};
  MatMul(BestKernels(), workspace_, {product});
  EXPECT_EQ(workspace_.zero_share(), 127.0 / 128);
  for (int64_t c = 0; c < kCols; ++c) x_[c] = 1;
  MatMul(BestKernels(), workspace_, {product});
  EXPECT_EQ(workspace_.zero_share(), 127.0 / 256);
  workspace_.Reset();
  EXPECT_EQ(workspace_.zero_share(), 0);
}

TEST_F(MatrixTest, ScatteredRowsGiveTheSameResultsAsContiguousRows) {
  const Matrix w = Ones();
  for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i % 11);
  MatMul(BestKernels(), workspace_,
         {{&w, {x_.data(), kX, kCols}, {y_.data(), kX, kRows}}});
  AlignedVector<float> first(kRows), rest(2 * kRows);
  MatMulIntoScatteredRows(
      BestKernels(), workspace_,
      {{&w, {x_.data(), 1, kCols}, {first.data(), 1, kRows}},
       {&w, {x_.data() + kCols, 2, kCols}, {rest.data(), 2, kRows}}});
  EXPECT_EQ(0, std::memcmp(first.data(), y_.data(), kRows * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(rest.data(), y_.data() + kRows,
                           2 * kRows * sizeof(float)));
}

// A block type, with columns that do not fill the last group.
class BlockMatrixTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBlockCols = 96;

  // Blocks of Q8_0: an f16 scale of 1 and 32 int8 quants.
  BlockMatrixTest() : blocks_(kRows * kBlockCols / 32 * 34) {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      blocks_[i] = i % 34 == 0   ? std::byte{0x00}
                   : i % 34 == 1 ? std::byte{0x3c}
                                 : static_cast<std::byte>(i * i % 251);
    }
    panels_ = PackGgmlPanels(
        {.dtype = DType::kQ8_0, .shape = {kRows, kBlockCols}, .data = blocks_},
        pool_);
    for (size_t i = 0; i < x_.size(); ++i) {
      x_[i] = static_cast<float>(i * i % 17) - 8;
    }
  }

  Matrix Packed(float factor) {
    return {
        .rows = kRows,
        .cols = kBlockCols,
        .ggml = GgmlWeights{.type = DType::kQ8_0,
                            .rows = kRows,
                            .cols = GgmlPaddedCols(DType::kQ8_0, kBlockCols),
                            .factor = factor,
                            .panels = panels_.data()}};
  }
  double Weight(int64_t row, int64_t col) const {
    const int64_t block = row * kBlockCols / 32 + col / 32;
    return static_cast<int8_t>(blocks_[block * 34 + 2 + col % 32]);
  }

  ThreadPool pool_{2};
  std::vector<std::byte> blocks_;
  AlignedVector<uint8_t> panels_;
  Workspace workspace_{1024, kX, &pool_};
  AlignedVector<float> x_ = AlignedVector<float>(kX * kBlockCols);
  AlignedVector<float> y_ = AlignedVector<float>(kX * kRows);
};

TEST_F(BlockMatrixTest, MatMulMultipliesWeightsByTheirFactor) {
  const Matrix w = Packed(4);
  MatMul(BestKernels(), workspace_,
         {{&w, {x_.data(), kX, kBlockCols}, {y_.data(), kX, kRows}}});
  for (int64_t i = 0; i < kX; ++i) {
    for (int64_t r = 0; r < kRows; ++r) {
      double sum = 0, magnitude = 0;
      for (int64_t c = 0; c < kBlockCols; ++c) {
        sum += 4 * Weight(r, c) * x_[i * kBlockCols + c];
        magnitude += 4 * std::abs(Weight(r, c)) * 8;
      }
      // Half a step of an int16 activation for each product.
      EXPECT_NEAR(y_[i * kRows + r], sum, magnitude * 0.6 / 32512);
    }
  }
}

TEST_F(BlockMatrixTest, ScatteredRowsGiveTheSameResultsAsContiguousRows) {
  const Matrix w = Packed(1);
  MatMul(BestKernels(), workspace_,
         {{&w, {x_.data(), kX, kBlockCols}, {y_.data(), kX, kRows}}});
  AlignedVector<float> first(kRows), rest(2 * kRows);
  MatMulIntoScatteredRows(
      BestKernels(), workspace_,
      {{&w, {x_.data(), 1, kBlockCols}, {first.data(), 1, kRows}},
       {&w, {x_.data() + kBlockCols, 2, kBlockCols}, {rest.data(), 2, kRows}}});
  EXPECT_EQ(0, std::memcmp(first.data(), y_.data(), kRows * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(rest.data(), y_.data() + kRows,
                           2 * kRows * sizeof(float)));
}

}  // namespace
}  // namespace rwkvd
