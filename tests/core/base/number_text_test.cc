// SPDX-License-Identifier: Apache-2.0
#include "core/base/number_text.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(NumberTextTest, IsShort) {
  EXPECT_EQ(NumberText(0.1f), "0.1");
  EXPECT_EQ(NumberText(-100.0f), "-100");
  EXPECT_EQ(NumberText(31536000.0), "31536000");
}

TEST(NumberTextTest, NeighborsDiffer) {
  EXPECT_EQ(NumberText(std::nextafter(1.0f, 2.0f)), "1.0000001");
  EXPECT_EQ(NumberText(std::nextafter(1.0, 2.0)), "1.0000000000000002");
  EXPECT_EQ(NumberText(31536000.5), "31536000.5");
}

TEST(NumberTextTest, HasAllNumbers) {
  EXPECT_EQ(NumberText(std::numeric_limits<float>::quiet_NaN()), "nan");
  EXPECT_EQ(NumberText(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(NumberText(-std::numeric_limits<double>::min()),
            "-2.2250738585072014e-308");
}

}  // namespace
}  // namespace rwkvd
