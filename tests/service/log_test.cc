// SPDX-License-Identifier: Apache-2.0
#include "service/log.h"

#include <chrono>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(LimitedLogTest, LinesWithinTheIntervalAreDropped) {
  LimitedLog log(std::chrono::hours(1));
  EXPECT_TRUE(log.Warning("first"));
  EXPECT_FALSE(log.Warning("second"));
  EXPECT_FALSE(log.Warning("third"));
}

TEST(LimitedLogTest, LinesAfterTheIntervalAreLogged) {
  LimitedLog log(std::chrono::seconds(0));
  EXPECT_TRUE(log.Warning("first"));
  EXPECT_TRUE(log.Warning("second"));
}

}  // namespace
}  // namespace rwkvd
