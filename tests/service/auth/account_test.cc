// SPDX-License-Identifier: Apache-2.0
#include "service/auth/account.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

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

TEST(TokenBucketTest, ReturnedAmountCanBeTakenAgain) {
  TokenBucket bucket;
  bucket.SetRate(60, kBegin);
  bucket.Take(60, kBegin);
  bucket.Return(20, kBegin);
  EXPECT_EQ(bucket.WaitFor(20, kBegin), absl::ZeroDuration());
  EXPECT_EQ(bucket.WaitFor(21, kBegin), absl::Seconds(1));
  bucket.Return(1000, kBegin);
  bucket.Take(60, kBegin);
  EXPECT_EQ(bucket.WaitFor(1, kBegin), absl::Seconds(1)) << "it holds no more";
}

TEST(TokenBucketTest, DebtMayBecomeWhatFlowsInDuringAMinute) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.LeftUntilMaxDebt(kBegin), kNoLimit);
  bucket.SetRate(60, kBegin);
  EXPECT_EQ(bucket.LeftUntilMaxDebt(kBegin), 120);
  bucket.Take(120, kBegin);
  EXPECT_EQ(bucket.LeftUntilMaxDebt(kBegin), 0);
  bucket.Take(10, kBegin);
  EXPECT_EQ(bucket.LeftUntilMaxDebt(kBegin + absl::Seconds(10)), 0);
  EXPECT_EQ(bucket.LeftUntilMaxDebt(kBegin + absl::Seconds(11)), 1);
}

TEST(AccountTest, PromptThatWasRefusedLaterIsGivenBack) {
  Account account;
  Quotas quotas;
  quotas.prompt_tokens_per_minute = 600;
  EXPECT_TRUE(account.TakePrompt(600, quotas, kBegin).ok());
  account.ReturnPrompt(600, kBegin);
  EXPECT_TRUE(account.TakePrompt(600, quotas, kBegin).ok());
}

// Generates tokens at `now` until the account ends the call, but at most
// `most`. Returns how many were generated, with the last one.
int64_t Generate(Account& account, int64_t most, absl::Time now) {
  for (int64_t i = 1; i <= most; ++i) {
    if (!account.TakeGenerated() && !account.CheckDebt(now).ok()) return i;
  }
  return most;
}

TEST(AccountTest, GeneratedTokensAreTakenWhileTheyAreGenerated) {
  Account account;
  Quotas quotas;
  quotas.generated_tokens_per_minute = 60;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok());
  EXPECT_EQ(Generate(account, 80, kBegin), 80) << "the call continues";
  const absl::Status refused = account.CheckGenerated(quotas, kBegin);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(refused), "generated_tokens_per_minute");
  EXPECT_EQ(RetryAfter(refused), absl::Seconds(21));
  const absl::Time later = kBegin + absl::Seconds(21);
  EXPECT_TRUE(account.CheckGenerated(quotas, later).ok());
  EXPECT_TRUE(account.TakePrompt(1, quotas, kBegin).ok())
      << "scores do not wait";
}

TEST(AccountTest, CallsEndWhenTheyOweAMinute) {
  Account account;
  Quotas quotas;
  quotas.generated_tokens_per_minute = 60;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok());
  EXPECT_EQ(Generate(account, 1000, kBegin), 120);
  // Each sample that still runs adds the token of its step.
  EXPECT_EQ(Generate(account, 1000, kBegin), 1);
  const absl::Status ended = account.CheckDebt(kBegin);
  EXPECT_EQ(ReasonOf(ended), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(ended), "generated_tokens_per_minute");
  EXPECT_EQ(RetryAfter(ended), absl::Seconds(62));
  // What has flowed in meanwhile may be generated.
  EXPECT_EQ(Generate(account, 1000, kBegin + absl::Seconds(31)), 30);
}

TEST(AccountTest, CallAtTheAllowedRateNeverEnds) {
  Account account;
  Quotas quotas;
  quotas.generated_tokens_per_minute = 60;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(Generate(account, 1, kBegin + absl::Seconds(i)), 1);
    EXPECT_TRUE(account.CheckDebt(kBegin + absl::Seconds(i)).ok()) << i;
  }
}

TEST(AccountTest, NewRateAppliesToCallsThatHaveBegun) {
  Account account;
  Quotas quotas;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok());
  EXPECT_EQ(Generate(account, 1000, kBegin), 1000);
  quotas.generated_tokens_per_minute = 60;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok())
      << "of the next call";
  EXPECT_EQ(Generate(account, 1000, kBegin), 120);
}

// No token is lost or counted twice while another thread looks at the bucket.
TEST(AccountTest, ThreadsTogetherGenerateWhatIsGranted) {
  constexpr int kThreads = 4;
  Account account;
  Quotas quotas;
  quotas.generated_tokens_per_minute = 60'000;
  EXPECT_TRUE(account.CheckGenerated(quotas, kBegin).ok());
  std::atomic<int64_t> generated{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (bool ends = false; !ends; ++generated) {
        ends = !account.TakeGenerated() && !account.CheckDebt(kBegin).ok();
        if (generated % 100 == 0) {
          (void)account.CheckGenerated(quotas, kBegin);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(generated, 120'000);
  EXPECT_LE(generated, 120'000 + kThreads);
}

TEST(AccountTest, SharesOfBytesFollowTheQuotas) {
  Account account;
  Quotas quotas;
  account.SetByteLimits(quotas, 800, 400);
  EXPECT_EQ(account.message_bytes().limit(), 700);
  EXPECT_EQ(account.unread_bytes().limit(), kNoLimit);
  quotas.message_bytes.bytes = 100;
  quotas.unread_bytes.percent = 25;
  account.SetByteLimits(quotas, 800, 400);
  EXPECT_EQ(account.message_bytes().limit(), 100);
  EXPECT_EQ(account.unread_bytes().limit(), 100);
}

}  // namespace
}  // namespace rwkvd
