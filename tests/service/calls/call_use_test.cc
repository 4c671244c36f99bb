// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_use.h"

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

// A request with a prompt of 10 tokens that ended with `reason`.
FinishEvent Ended(FinishReason reason, int64_t cached, int64_t generated,
                  Times times) {
  FinishEvent event;
  event.reason = reason;
  event.usage = {10, cached, generated};
  event.times = times;
  return event;
}

Times TimesOf(int queue, int prefill, int decode, int first_token) {
  return {absl::Seconds(queue), absl::Seconds(prefill), absl::Seconds(decode),
          absl::Seconds(first_token)};
}

TEST(CallUseTest, NothingIsKnownBeforeARequestHasEnded) {
  EXPECT_FALSE(CallUse().has_requests());
  EXPECT_EQ(CallUse().ReasonNames(), "");
}

TEST(CallUseTest, RequestIsReportedAsItWas) {
  CallUse use;
  use.AddRequest(Ended(FinishReason::kLength, 4, 7, TimesOf(1, 2, 3, 4)));
  ASSERT_TRUE(use.has_requests());
  EXPECT_EQ(use.usage().prompt_tokens, 10);
  EXPECT_EQ(use.usage().cached_tokens, 4);
  EXPECT_EQ(use.usage().generated_tokens, 7);
  EXPECT_EQ(use.times().queue, absl::Seconds(1));
  EXPECT_EQ(use.times().prefill, absl::Seconds(2));
  EXPECT_EQ(use.times().decode, absl::Seconds(3));
  EXPECT_EQ(use.times().first_token, absl::Seconds(4));
  EXPECT_EQ(use.ReasonNames(), "length");
}

// A second sample waits for the prompt of the first one, and ends later.
TEST(CallUseTest, SamplesShareThePromptAndEndWithTheLast) {
  const FinishEvent leader =
      Ended(FinishReason::kLength, 3, 5, TimesOf(1, 2, 4, 4));
  const FinishEvent follower =
      Ended(FinishReason::kStopString, 10, 6, TimesOf(2, 3, 7, 6));
  for (const bool leader_first : {true, false}) {
    CallUse use;
    use.AddRequest(leader_first ? leader : follower);
    use.AddRequest(leader_first ? follower : leader);
    EXPECT_EQ(use.usage().prompt_tokens, 10);
    EXPECT_EQ(use.usage().cached_tokens, 3);
    EXPECT_EQ(use.usage().generated_tokens, 11);
    EXPECT_EQ(use.times().queue, absl::Seconds(1));
    EXPECT_EQ(use.times().prefill, absl::Seconds(2));
    EXPECT_EQ(use.times().decode, absl::Seconds(12 - 3));
    EXPECT_EQ(use.times().first_token, absl::Seconds(4));
  }
}

TEST(CallUseTest, EachReasonIsListedOnce) {
  CallUse use;
  for (const FinishReason reason :
       {FinishReason::kStopToken, FinishReason::kLength,
        FinishReason::kStopToken}) {
    use.AddRequest(Ended(reason, 0, 1, TimesOf(0, 0, 0, 0)));
  }
  EXPECT_THAT(use.reasons(),
              ElementsAre(FinishReason::kStopToken, FinishReason::kLength));
  EXPECT_EQ(use.ReasonNames(), "stop_token,length");
}

TEST(CallUseTest, PartsAddUp) {
  CallUse use;
  use.AddPart(Ended(FinishReason::kScored, 0, 5, TimesOf(1, 2, 3, 0)));
  use.AddPart(Ended(FinishReason::kScored, 0, 6, TimesOf(1, 1, 1, 0)));
  EXPECT_EQ(use.usage().generated_tokens, 11);
  EXPECT_EQ(use.usage().prompt_tokens, 0) << "a document has no prompt";
  EXPECT_EQ(use.times().queue, absl::Seconds(2));
  EXPECT_EQ(use.times().prefill, absl::Seconds(3));
  EXPECT_EQ(use.times().decode, absl::Seconds(4));
  EXPECT_EQ(use.ReasonNames(), "scored");
}

}  // namespace
}  // namespace rwkvd
