// SPDX-License-Identifier: Apache-2.0
#include "service/log.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(LimitedLogTest, LogsTheFirstLineAndThenTheNumberPerInterval) {
  LimitedLog log(absl::Seconds(10));
  const absl::Time start = absl::FromUnixSeconds(100);
  EXPECT_EQ(log.LineToLog("full", start), "full");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(1)), "");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(9)), "");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(10)),
            "full (and 2 similar lines before)");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(20)), "full");
}

TEST(LimitedLogTest, LogsEachLineWithoutAnInterval) {
  LimitedLog log(absl::ZeroDuration());
  const absl::Time now = absl::FromUnixSeconds(100);
  EXPECT_EQ(log.LineToLog("first", now), "first");
  EXPECT_EQ(log.LineToLog("second", now), "second");
}

}  // namespace
}  // namespace rwkvd
