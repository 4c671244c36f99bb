// SPDX-License-Identifier: Apache-2.0
#include "service/auth/account.h"

#include <string>

#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "gtest/gtest.h"
#include "service/auth/token_bucket.h"

namespace rwkvd {
namespace {

const absl::Time kBegin = absl::UnixEpoch();

TEST(TokenBucketTest, HoldsWhatFlowsInDuringAMinute) {
  TokenBucket bucket;
  bucket.SetRate(60, kBegin);
  EXPECT_EQ(bucket.WaitFor(60, kBegin), absl::ZeroDuration());
  bucket.Take(60, kBegin);
  EXPECT_EQ(bucket.WaitFor(1, kBegin), absl::Seconds(1));
  EXPECT_EQ(bucket.WaitFor(1, kBegin + absl::Seconds(1)), absl::ZeroDuration());
  bucket.Take(1, kBegin + absl::Seconds(1));
  EXPECT_EQ(bucket.WaitFor(60, kBegin + absl::Hours(1)), absl::ZeroDuration());
}

TEST(TokenBucketTest, AmountAboveItsContentNeedsAFullBucket) {
  TokenBucket bucket;
  bucket.SetRate(60, kBegin);
  EXPECT_EQ(bucket.WaitFor(1000, kBegin), absl::ZeroDuration());
  bucket.Take(120, kBegin);
  EXPECT_EQ(bucket.WaitFor(1000, kBegin), absl::Minutes(2));
}

TEST(TokenBucketTest, WithoutARateThereIsNoWait) {
  TokenBucket bucket;
  bucket.Take(1 << 30, kBegin);
  EXPECT_EQ(bucket.WaitFor(1 << 30, kBegin), absl::ZeroDuration());
}

TEST(TokenBucketTest, NewRateDoesNotRefillTheBucket) {
  TokenBucket bucket;
  bucket.SetRate(60, kBegin);
  bucket.Take(60, kBegin);
  bucket.SetRate(600, kBegin);
  EXPECT_EQ(bucket.WaitFor(60, kBegin), absl::Seconds(6));
}

TEST(AccountTest, PromptsAboveTheirRateAreRefusedWithARetryTime) {
  Account account;
  Quotas quotas;
  quotas.prompt_tokens_per_minute = 600;
  EXPECT_TRUE(account.TakePrompt(600, quotas, kBegin).ok());
  const absl::Status refused = account.TakePrompt(100, quotas, kBegin);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(refused), "prompt_tokens_per_minute");
  EXPECT_EQ(RetryAfter(refused), absl::Seconds(10));
  EXPECT_TRUE(account.TakePrompt(100, quotas, kBegin + absl::Seconds(10)).ok());
}

// How many there will be is not known before.
TEST(AccountTest, GeneratedTokensAreTakenAfterwards) {
  Account account;
  Quotas quotas;
  quotas.generated_tokens_per_minute = 60;
  EXPECT_TRUE(account.TakePrompt(1, quotas, kBegin).ok());
  account.TakeGenerated(120, kBegin);
  const absl::Status refused = account.TakePrompt(1, quotas, kBegin);
  EXPECT_EQ(QuotaOf(refused), "generated_tokens_per_minute");
  EXPECT_EQ(RetryAfter(refused), absl::Seconds(61));
}

}  // namespace
}  // namespace rwkvd
