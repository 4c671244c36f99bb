// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <cstring>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
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

}  // namespace
}  // namespace rwkvd
