// SPDX-License-Identifier: Apache-2.0
#include "service/listener/refusal_log.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(RefusalLogTest, ReportsTheFirstEventAndThenTheNumberPerPeriod) {
  RefusalLog log(absl::Seconds(10));
  EXPECT_EQ(log.Add("full", absl::Seconds(100)), "full");
  EXPECT_EQ(log.Add("full", absl::Seconds(101)), "");
  EXPECT_EQ(log.Add("full", absl::Seconds(109)), "");
  EXPECT_EQ(log.Add("full", absl::Seconds(110)),
            "full (and 2 more since the last report)");
  EXPECT_EQ(log.Add("full", absl::Seconds(120)), "full");
}

}  // namespace
}  // namespace rwkvd
