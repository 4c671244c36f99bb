// SPDX-License-Identifier: Apache-2.0
#include "core/base/float16.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Float16Test, KnownNumbersConvertBothWays) {
  EXPECT_EQ(F16ToFloat(0x3C00), 1.0f);
  EXPECT_EQ(F16ToFloat(0xC100), -2.5f);
  EXPECT_EQ(F16ToFloat(0x7BFF), 65504.0f);
  EXPECT_EQ(F16ToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(FloatToF16(1.0f), 0x3C00);
  EXPECT_EQ(FloatToF16(-2.5f), 0xC100);
  EXPECT_EQ(BF16ToFloat(0x3F80), 1.0f);
  EXPECT_EQ(FloatToBF16(-2.5f), 0xC020);
}

TEST(Float16Test, EveryNumberSurvivesARoundTrip) {
  for (uint32_t i = 0; i <= 0xFFFF; ++i) {
    const uint16_t bits = static_cast<uint16_t>(i);
    const float f16 = F16ToFloat(bits), bf16 = BF16ToFloat(bits);
    if (!std::isnan(f16)) {
      ASSERT_EQ(FloatToF16(f16), bits);
    }
    if (!std::isnan(bf16)) {
      ASSERT_EQ(FloatToBF16(bf16), bits);
    }
  }
}

TEST(Float16Test, F16RoundsToNearestTiesToEven) {
  EXPECT_EQ(FloatToF16(1 + 0x1p-11f), 0x3C00);
  EXPECT_EQ(FloatToF16(1 + 0x1.8p-11f), 0x3C01);
  EXPECT_EQ(FloatToF16(1 + 0x1.8p-10f), 0x3C02);
  EXPECT_EQ(FloatToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(FloatToF16(0x1.8p-24f), 0x0002);
  EXPECT_EQ(FloatToF16(0x1.FFFp-15f), 0x0400);  // to the smallest normal
}

TEST(Float16Test, BF16RoundsToNearestTiesToEven) {
  EXPECT_EQ(FloatToBF16(1 + 0x1p-8f), 0x3F80);
  EXPECT_EQ(FloatToBF16(1 + 0x1.8p-8f), 0x3F81);
  EXPECT_EQ(FloatToBF16(1 + 0x1.8p-7f), 0x3F82);
}

TEST(Float16Test, NumbersThatAreTooLargeBecomeInfinities) {
  EXPECT_EQ(FloatToF16(65519.0f), 0x7BFF);
  EXPECT_EQ(FloatToF16(65520.0f), 0x7C00);
  EXPECT_EQ(FloatToF16(-kInfinity), 0xFC00);
  EXPECT_EQ(FloatToBF16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(F16ToFloat(0x7C00), kInfinity);
  EXPECT_EQ(BF16ToFloat(0xFF80), -kInfinity);
}

TEST(Float16Test, NanStaysNan) {
  EXPECT_EQ(FloatToF16(kNan), 0x7E00);
  EXPECT_EQ(FloatToBF16(kNan), 0x7FC0);
  EXPECT_TRUE(std::isnan(F16ToFloat(0x7C01)));
  EXPECT_TRUE(std::isnan(BF16ToFloat(0x7F81)));
}

}  // namespace
}  // namespace rwkvd
