// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/rounding.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "core/base/float16.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Floats = std::vector<float>;

// A quantized packed block.
struct PackedBlock {
  QuantType type;
  QuantOrder order;
  int64_t cols;
  std::vector<uint8_t> quants;
  std::vector<uint16_t> scales;
  bool ok = false;

  double Scale(int64_t row, int64_t col) const {
    return BF16ToFloat(
        scales[col / kGroupCols * PackedBlockRows(type, order) + row]);
  }
  // As quant/layout.h defines it.
  int Quant(int64_t row, int64_t col) const {
    const QuantPosition position = PositionInPackedBlock(type, order, row, col);
    const int byte = quants[position.byte];
    if (type == QuantType::kInt8) return byte;
    return position.is_high_nibble ? byte >> 4 : byte & 0x0F;
  }
  double Weight(int64_t row, int64_t col) const {
    const int q = Quant(row, col);
    return Scale(row, col) * ((type == QuantType::kInt8 ? q : 16 * q) - 128);
  }
};

PackedBlock Quantize(QuantType type, QuantOrder order, const Floats& w,
                     int64_t rows) {
  const int64_t cols = static_cast<int64_t>(w.size()) / rows;
  PackedBlock block{.type = type, .order = order, .cols = cols};
  block.quants.assign(PackedBlockBytes(type, order, cols), 0xAA);
  block.scales.assign(cols / kGroupCols * PackedBlockRows(type, order), 0xAAAA);
  block.ok = QuantizePackedBlock({.type = type,
                                  .order = order,
                                  .w = w.data(),
                                  .rows = rows,
                                  .cols = cols,
                                  .quants = block.quants.data(),
                                  .scales = block.scales.data()});
  return block;
}

Floats Normal(int64_t num, float deviation = 1) {
  static auto* const random = new std::mt19937(5);
  std::normal_distribution<float> normal(0, deviation);
  Floats values(num);
  for (float& value : values) value = normal(*random);
  return values;
}

// Returns the least squared error of a group with that scale, for w = scale * n
// with n in [low, high].
double ErrorOf(const float* w, double scale, int low, int high) {
  double error = 0;
  for (int64_t i = 0; i < kGroupCols; ++i) {
    const double n =
        std::clamp(std::nearbyint(w[i] / scale), double(low), double(high));
    error += (w[i] - scale * n) * (w[i] - scale * n);
  }
  return error;
}

// The squared error with the best of all bf16 scales, and with the scale that
// just holds the largest weight.
struct Errors {
  double best = std::numeric_limits<double>::infinity();
  double plain;
};

Errors BruteForce(const float* w, QuantType type) {
  const int low = type == QuantType::kInt8 ? -127 : -8;
  const int high = type == QuantType::kInt8 ? 127 : 7;
  float largest = 0;
  for (int64_t i = 0; i < kGroupCols; ++i) {
    if (std::abs(w[i]) > std::abs(largest)) largest = w[i];
  }
  const float plain = largest / static_cast<float>(high);
  Errors errors{.plain =
                    ErrorOf(w, BF16ToFloat(FloatToBF16(plain)), low, high)};
  const int center = FloatToBF16(std::abs(plain));
  for (int bits = center - 256; bits < center + 128; ++bits) {
    const double scale = BF16ToFloat(static_cast<uint16_t>(bits));
    errors.best = std::min(errors.best, ErrorOf(w, scale, low, high));
    if (type == QuantType::kInt8) continue;
    errors.best = std::min(errors.best, ErrorOf(w, -scale, low, high));
  }
  return errors;
}

class RoundingTest
    : public ::testing::TestWithParam<std::tuple<QuantType, QuantOrder>> {
 protected:
  QuantType type() const { return std::get<0>(GetParam()); }
  QuantOrder order() const { return std::get<1>(GetParam()); }
  int64_t block_rows() const { return PackedBlockRows(type(), order()); }
};

// Compares the errors of the groups, as read back, with every possible scale.
TEST_P(RoundingTest, ErrorsAreCloseToThoseOfTheBestScales) {
  constexpr int64_t kCols = 192;
  for (float deviation : {1e-20f, 0.02f, 3.0f, 1e20f}) {
    const Floats w = Normal(block_rows() * kCols, deviation);
    const PackedBlock block = Quantize(type(), order(), w, block_rows());
    ASSERT_TRUE(block.ok);
    double sum = 0, best_sum = 0;
    for (int64_t row = 0; row < block_rows(); ++row) {
      for (int64_t first = 0; first < kCols; first += kGroupCols) {
        const float* group = w.data() + row * kCols + first;
        double error = 0;
        for (int64_t i = 0; i < kGroupCols; ++i) {
          const double d = group[i] - block.Weight(row, first + i);
          error += d * d;
        }
        const Errors errors = BruteForce(group, type());
        EXPECT_LE(error, errors.plain * (1 + 1e-5)) << row << " " << first;
        sum += error;
        best_sum += errors.best;
      }
    }
    EXPECT_LE(sum, best_sum * (type() == QuantType::kInt8 ? 1.02 : 1.01));
  }
}

// Weights that can be represented exactly are.
TEST_P(RoundingTest, MultiplesOfAScaleAreKept) {
  std::mt19937 random(3);
  const bool is_int8 = type() == QuantType::kInt8;
  const int low = is_int8 ? -127 : -8, high = is_int8 ? 127 : 7;
  std::uniform_int_distribution<int> any(low, high);
  Floats w(block_rows() * 128);
  for (int64_t i = 0; i < static_cast<int64_t>(w.size()); ++i) {
    const float scale = BF16ToFloat(0x3C80 + i / kGroupCols % 128);
    w[i] = scale * static_cast<float>(i % kGroupCols == 9 ? low : any(random));
  }
  const PackedBlock block = Quantize(type(), order(), w, block_rows());
  for (int64_t i = 0; i < static_cast<int64_t>(w.size()); ++i) {
    ASSERT_EQ(block.Weight(i / 128, i % 128), w[i]) << i;
  }
}

TEST_P(RoundingTest, MissingRowsOfAPackedBlockAreZero) {
  const PackedBlock block = Quantize(type(), order(), Normal(3 * 64), 3);
  for (int64_t row = 3; row < block_rows(); ++row) {
    for (int64_t col = 0; col < 64; ++col) {
      ASSERT_EQ(block.Weight(row, col), 0);
      ASSERT_EQ(block.Scale(row, col), 0);
    }
  }
}

TEST_P(RoundingTest, ZerosAndVerySmallWeightsAreZero) {
  for (float value : {0.0f, -0.0f, 1e-40f, 0x1.8p-101f}) {
    const PackedBlock block = Quantize(
        type(), order(), Floats(block_rows() * 64, value), block_rows());
    ASSERT_TRUE(block.ok);
    for (int64_t i = 0; i < block_rows() * 64; ++i) {
      ASSERT_EQ(block.Weight(i / 64, i % 64), 0);
    }
  }
}

TEST_P(RoundingTest, LargestAndSmallestWeightsHaveNormalScales) {
  for (float value : {std::numeric_limits<float>::max(), 0x1p-100f}) {
    Floats w = Normal(64, value / 16);
    w[17] = -value;
    const PackedBlock block = Quantize(type(), order(), w, 1);
    ASSERT_TRUE(block.ok);
    EXPECT_TRUE(std::isnormal(block.Scale(0, 0)));
    EXPECT_NEAR(block.Weight(0, 17) / value, -1, 0.2);
  }
}

TEST_P(RoundingTest, WeightsThatAreNotFiniteAreRefusedAtAnyPosition) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    for (int64_t at : {0, 63, 64, 191}) {
      Floats w(2 * 192, 1);
      w[192 + at] = bad;
      EXPECT_FALSE(Quantize(type(), order(), w, 2).ok);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, RoundingTest,
    ::testing::Combine(::testing::Values(QuantType::kInt8, QuantType::kInt4),
                       ::testing::Values(QuantOrder::kRowPanels,
                                         QuantOrder::kColumnBlocks)));

// A row whose weights are n / 64 for n from -127 on: the scale is 1 / 64.
TEST(RoundingLayoutTest, Int8RowPanel) {
  Floats w(2 * 64);
  for (int i = 0; i < 64; ++i) w[64 + i] = (4 * i - 127) / 64.0f;
  const PackedBlock block =
      Quantize(QuantType::kInt8, QuantOrder::kRowPanels, w, 2);
  EXPECT_EQ(block.scales[0], 0);
  EXPECT_EQ(block.scales[1], FloatToBF16(1 / 64.0f));
  // Quads of four columns; in each, the 16 rows with four bytes each.
  for (int col = 0; col < 64; ++col) {
    EXPECT_EQ(block.quants[col / 4 * 64 + 0 * 4 + col % 4], 128);
    EXPECT_EQ(block.quants[col / 4 * 64 + 1 * 4 + col % 4],
              4 * col - 127 + 128);
  }
}

// Weights n / 4 for n from -8 to 7: the scale is a sixteenth of the step.
TEST(RoundingLayoutTest, Int4RowPanel) {
  Floats w(2 * 64);
  for (int i = 0; i < 64; ++i) w[64 + i] = (i % 16 - 8) / 4.0f;
  const PackedBlock block =
      Quantize(QuantType::kInt4, QuantOrder::kRowPanels, w, 2);
  EXPECT_EQ(block.scales[1], FloatToBF16(1 / 64.0f));
  // Of two adjacent quads, the first one has the low nibbles.
  for (int col = 0; col < 64; ++col) {
    const int byte = block.quants[col / 8 * 64 + 1 * 4 + col % 4];
    EXPECT_EQ(col % 8 < 4 ? byte % 16 : byte / 16, col % 16);
  }
}

// The same weights negated have a negative scale.
TEST(RoundingLayoutTest, Int4RowPanelWithANegativeScale) {
  Floats w(64);
  for (int i = 0; i < 64; ++i) w[i] = (8 - i % 16) / 4.0f;
  const PackedBlock block =
      Quantize(QuantType::kInt4, QuantOrder::kRowPanels, w, 1);
  EXPECT_EQ(block.scales[0], FloatToBF16(-1 / 64.0f));
  EXPECT_EQ(block.quants[0] % 16, 0);
}

TEST(RoundingLayoutTest, Int8ColumnBlock) {
  Floats w(128 * 64, 0);
  for (int row = 0; row < 128; ++row) {
    w[row * 64] = 127;
    w[row * 64 + 5] = static_cast<float>(row - 64);
  }
  const PackedBlock block =
      Quantize(QuantType::kInt8, QuantOrder::kColumnBlocks, w, 128);
  for (int row = 0; row < 128; ++row) {
    EXPECT_EQ(block.scales[row], FloatToBF16(1));
    EXPECT_EQ(block.quants[row], 255);
    EXPECT_EQ(block.quants[5 * 128 + row], 128 + row - 64);
  }
}

TEST(RoundingLayoutTest, Int4ColumnBlock) {
  Floats w(256 * 64, 0);
  for (int row = 0; row < 256; ++row) {
    w[row * 64] = -8;
    w[row * 64 + 5] = static_cast<float>(row % 16 - 8);
  }
  const PackedBlock block =
      Quantize(QuantType::kInt4, QuantOrder::kColumnBlocks, w, 256);
  for (int row = 0; row < 256; ++row) {
    EXPECT_EQ(block.scales[row], FloatToBF16(1 / 16.0f));
    const int byte = block.quants[5 * 128 + row / 128 * 64 + row % 64];
    EXPECT_EQ(row % 128 < 64 ? byte % 16 : byte / 16, row % 16);
  }
}

}  // namespace
}  // namespace rwkvd
