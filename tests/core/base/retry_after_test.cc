// SPDX-License-Identifier: Apache-2.0
#include "core/base/retry_after.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(RetryAfterTest, IsReadBackInMilliseconds) {
  const absl::Status status = WithRetryAfter(
      absl::ResourceExhaustedError("full"), absl::Microseconds(1234600));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "full");
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(1235));
}

TEST(RetryAfterTest, OtherStatusesHaveNone) {
  EXPECT_FALSE(RetryAfter(absl::OkStatus()).has_value());
  EXPECT_FALSE(RetryAfter(absl::ResourceExhaustedError("full")).has_value());
}

}  // namespace
}  // namespace rwkvd
