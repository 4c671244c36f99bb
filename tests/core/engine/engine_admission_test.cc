// SPDX-License-Identifier: Apache-2.0
// Which requests the engine admits and refuses, and when.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/base/retry_after.h"
#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// An engine with one slot.
class EngineAdmissionTest : public EngineFixture {
 protected:
  EngineAdmissionTest() : EngineFixture(/*max_running=*/1, /*max_queued=*/6) {}

  absl::StatusOr<Engine::RequestId> Try(const GenerateRequest& request) {
    return engine().Submit(request, NewSink());
  }

  // Submits a request that must be accepted.
  RecordingSink* Submit(const GenerateRequest& request) {
    const auto id = Try(request);
    EXPECT_TRUE(id.ok()) << id.status();
    return sinks_.back().get();
  }

  // Submits a request with a deadline `seconds` from now.
  RecordingSink* SubmitWithin(int64_t seconds, const Tokens& prompt,
                              int64_t max_tokens = 1) {
    GenerateRequest request = Request(prompt, max_tokens);
    request.deadline = Now() + absl::Seconds(seconds);
    return Submit(request);
  }

  static void ExpectRefused(const Recording& result, absl::StatusCode code) {
    EXPECT_EQ(result.reason, FinishReason::kRefused);
    EXPECT_EQ(result.status.code(), code);
    EXPECT_THAT(result.tokens, IsEmpty());
    EXPECT_EQ(result.times.prefill, absl::ZeroDuration());
  }
};

TEST_F(EngineAdmissionTest, RefusesRequestBeyondMaxTotalTokens) {
  options_.max_prompt_tokens = 10;
  options_.max_generated_tokens = 10;
  options_.max_total_tokens = 30;
  RecordingSink* first = Submit(Request({1, 2}, 10));
  Submit(Request({1}, 10));
  const absl::Status refused = Try(Request({1}, 7)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("23 of at most 30"));
  EXPECT_TRUE(RetryAfter(refused).has_value());
  EXPECT_EQ(engine().Stats().rejected_total_tokens, 1);
  Submit(Request({1}, 6));
  ScoreRequest score;
  score.items[0].context = {1};
  score.items[0].continuations = {{2}, {3}};
  EXPECT_EQ(engine().Submit(score, first).status().code(),
            absl::StatusCode::kResourceExhausted);
  gate_.Open();
  // The tokens of ended requests are free again.
  first->Wait();
  RecordingSink sink;
  EXPECT_TRUE(engine().Submit(score, &sink).ok());
  sink.Wait();
}

TEST_F(EngineAdmissionTest, RefusesRequestAfterMaxQueueTime) {
  options_.max_queue_time = absl::Seconds(3);
  Submit(Request({1}, 6));
  gate_.WaitForArrivals(1);
  RecordingSink* waits = Submit(Request({2}, 1));
  gate_.Permit(3);
  gate_.WaitForArrivals(4);
  EXPECT_EQ(waits->Peek().num_finishes, 0);
  RecordingSink* patient = Submit(Request({3}, 1));
  gate_.Permit(1);
  const Recording refused = waits->Wait();
  ExpectRefused(refused, absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(refused.status).has_value());
  EXPECT_EQ(refused.times.queue, absl::Seconds(4));
  gate_.Open();
  EXPECT_EQ(patient->Wait().reason, FinishReason::kLength);
  const EngineStats stats = engine().Stats();
  EXPECT_EQ(stats.rejected_queue_time, 1);
  EXPECT_EQ(stats.finished[static_cast<int>(FinishReason::kCancelled)], 0);
}

TEST_F(EngineAdmissionTest, RefusesRequestWhosePrefillExceedsTheDeadline) {
  gate_.Open();
  // No speed is known yet, so no request is refused.
  EXPECT_EQ(SubmitWithin(1, Tokens(10, 5))->Wait().reason,
            FinishReason::kLength);
  // The known speed is now ten tokens per second.
  ExpectRefused(SubmitWithin(2, Tokens(30, 7))->Wait(),
                absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(engine().Stats().rejected_deadline, 1);
  const Tokens prompt(30, 8);
  EXPECT_EQ(SubmitWithin(3, prompt)->Wait().reason, FinishReason::kLength);
  // Cached tokens need no time.
  EXPECT_EQ(SubmitWithin(1, prompt)->Wait().reason, FinishReason::kLength);
}

TEST_F(EngineAdmissionTest, ScoreDeadlineCountsAllScoredTokens) {
  gate_.Open();
  Submit(Request(Tokens(10, 5), 1))->Wait();
  ScoreRequest request;
  request.items[0].context = {1};
  request.items[0].continuations = {Tokens(11, 2),
                                    Tokens(11, 3)};  // 1 + 10 + 10
  request.received = Now();
  request.deadline = Now() + absl::Seconds(2);
  RecordingSink late, in_time;
  ASSERT_TRUE(engine().Submit(request, &late).ok());
  ExpectRefused(late.Wait(), absl::StatusCode::kDeadlineExceeded);
  request.received = Now();
  request.deadline = Now() + absl::Seconds(3);
  ASSERT_TRUE(engine().Submit(request, &in_time).ok());
  EXPECT_EQ(in_time.Wait().reason, FinishReason::kScored);
}

TEST_F(EngineAdmissionTest, RefusesAtOnceRequestThatWouldWaitPastItsDeadline) {
  // Two requests of four steps each determine the release rate.
  RecordingSink* first = Submit(Request({1}, 4));
  gate_.WaitForArrivals(1);
  RecordingSink* second = Submit(Request({2}, 4));
  gate_.Permit(8);
  first->Wait();
  second->Wait();
  // Full again, with one waiting request: a slot is released in eight seconds.
  RecordingSink* runs = Submit(Request({3}, kForever));
  gate_.WaitForArrivals(9);
  Submit(Request({4}, 1));
  RecordingSink* late = SubmitWithin(3, {5});
  RecordingSink* maybe =
      SubmitWithin(5, {6});  // possible at twice the recent rate
  gate_.Permit(1);
  ExpectRefused(late->Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(runs->Peek().num_finishes, 0);
  EXPECT_EQ(maybe->Peek().num_finishes, 0);
  EXPECT_EQ(engine().Stats().queued, 2);
}

TEST_F(EngineAdmissionTest, RefusesFirstInQueueThatIsTooLateForItsDeadline) {
  gate_.Permit(1);
  Submit(Request(Tokens(10, 5), 1))->Wait();
  Submit(Request({1}, 4));
  gate_.WaitForArrivals(2);
  RecordingSink* late = SubmitWithin(4, Tokens(10, 6));
  RecordingSink* other = Submit(Request({7}, 1));
  gate_.Open();
  ExpectRefused(late->Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(other->Wait().times.queue, absl::Seconds(4));
}

TEST_F(EngineAdmissionTest, RefusalOfFullQueueHasRetryAfter) {
  RecordingSink* first = Submit(Request({1}, 5));
  gate_.WaitForArrivals(1);
  for (int i = 0; i < 6; ++i) Submit(Request({2}, kForever));
  const auto retry_after = [this] {
    const absl::Status status = Try(Request({3}, 1)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    return RetryAfter(status);
  };
  EXPECT_EQ(retry_after(), absl::Seconds(1));  // the rate is unknown
  gate_.Permit(5);
  first->Wait();
  Submit(Request({4}, 1));
  // Half of the queue and one more, five seconds each.
  EXPECT_EQ(retry_after(), absl::Seconds(20));
}

}  // namespace
}  // namespace rwkvd
