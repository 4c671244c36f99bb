// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/field_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public EngineFixture {
 protected:
  EngineTest() : EngineFixture(/*max_running=*/2, /*max_queued=*/2) {}

  // Submits a request that must be accepted.
  std::pair<Engine::RequestId, RecordingSink*> Submit(const Tokens& prompt,
                                                      int64_t max_tokens) {
    RecordingSink* sink = NewSink();
    const auto id = engine().Submit(Request(prompt, max_tokens), sink);
    EXPECT_TRUE(id.ok()) << id.status();
    return {id.value_or(0), sink};
  }

  absl::Status StatusOfSubmit() {
    return engine().Submit(Request({1}, 1), NewSink()).status();
  }

  // Drains in another thread. Returns once the engine is draining, which it
  // detects by the error of a Submit; for that the queue must be full.
  std::thread DrainBeside(absl::Time deadline) {
    std::thread drain([this, deadline] { engine().Drain(deadline); });
    while (!absl::IsUnavailable(StatusOfSubmit())) std::this_thread::yield();
    return drain;
  }
};

TEST_F(EngineTest, GeneratesAndFinishes) {
  gate_.Open();
  const Recording result = Submit({1, 2, 3}, 4).second->Wait();
  EXPECT_EQ(result.tokens.size(), 4);
  EXPECT_EQ(result.reason, FinishReason::kLength);
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.usage.prompt_tokens, 3);
  EXPECT_EQ(result.usage.generated_tokens, 4);
  std::string bytes;
  for (const int32_t id : result.Ids()) {
    absl::StrAppend(&bytes, tokenizer_.TokenBytes(id));
  }
  EXPECT_EQ(result.bytes, bytes);
  EXPECT_EQ(result.text, bytes);
}

TEST_F(EngineTest, RunningAndQueuedRequestsEndWithTheErrorOfTheModel) {
  std::atomic<bool> damaged{false};
  std::atomic<int> num_calls{0};
  options_.check_model = [&] {
    return damaged ? absl::InternalError("damaged") : absl::OkStatus();
  };
  options_.on_requests_ended = [&] { ++num_calls; };
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 4; ++i) sinks.push_back(Submit({1}, kForever).second);
  gate_.Permit(1);
  sinks[0]->WaitForTokens(1);
  EXPECT_EQ(num_calls, 0);
  damaged = true;
  gate_.Open();
  for (RecordingSink* sink : sinks) {
    EXPECT_EQ(sink->Wait().status, absl::InternalError("damaged"));
  }
  EXPECT_EQ(Submit({1}, 1).second->Wait().status,
            absl::InternalError("damaged"));
  engine_.reset();
  EXPECT_EQ(num_calls, 3);
}

TEST_F(EngineTest, StartsFromTheChosenInitialState) {
  gate_.Open();
  initial_states_ = {{"default", model_.StateAfter({4, 2})},
                     {"other", model_.StateAfter({9})}};
  GenerateRequest request = Request({5}, 6);
  std::vector<Recording> recordings;
  for (const int32_t initial_state : {0, 1, 0}) {
    request.initial_state = initial_state;
    RecordingSink* sink = NewSink();
    ASSERT_TRUE(engine().Submit(request, sink).ok());
    recordings.push_back(sink->Wait());
  }
  EXPECT_EQ(engine().initial_states()[1].name, "other");
  engine_.reset();
  initial_states_.clear();
  EXPECT_EQ(engine().initial_states()[0].name, kOwnStateName);
  EXPECT_EQ(recordings[0].Ids(), Submit({4, 2, 5}, 6).second->Wait().Ids());
  EXPECT_EQ(recordings[1].Ids(), Submit({9, 5}, 6).second->Wait().Ids());
  EXPECT_EQ(recordings[2].Ids(), recordings[0].Ids());
  // Only the third one had a predecessor with the same prompt and state.
  EXPECT_EQ(recordings[1].usage.cached_tokens, 0);
  EXPECT_EQ(recordings[2].usage.cached_tokens, 1);
}

TEST_F(EngineTest, EmptyPromptProcessesToken0AfterTheInitialState) {
  gate_.Open();
  initial_states_ = {{"", model_.NewState()}, {"x", model_.StateAfter({4})}};
  GenerateRequest request = Request({}, 6);
  request.initial_state = 1;
  RecordingSink* sink = NewSink();
  ASSERT_TRUE(engine().Submit(request, sink).ok());
  EXPECT_EQ(sink->Wait().Ids(), Submit({4, 0}, 6).second->Wait().Ids());
}

TEST_F(EngineTest, RefusesUnknownInitialState) {
  GenerateRequest generate = Request({1}, 1);
  ScoreRequest score;
  score.items[0].continuations = {{1}};
  for (const int32_t bad : {-1, 1}) {
    generate.initial_state = score.initial_state = bad;
    for (const absl::Status& status :
         {engine().Submit(generate, NewSink()).status(),
          engine().Submit(score, NewSink()).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), HasSubstr("initial_state"));
    }
  }
}

TEST_F(EngineTest, ScoresAndFinishes) {
  gate_.Open();
  ScoreRequest request;
  request.items[0].context = {1, 2};
  request.items[0].continuations = {{3, 4}, {5}};
  RecordingSink sink;
  ASSERT_TRUE(engine().Submit(request, &sink).ok());
  const Recording result = sink.Wait();
  EXPECT_EQ(result.scores.size(), 2);
  EXPECT_EQ(result.reason, FinishReason::kScored);
  EXPECT_EQ(engine().Stats().scored_tokens, 3);
}

TEST_F(EngineTest, RunsRequestsAfterIdleTime) {
  gate_.Open();
  for (int32_t i = 0; i < 20; ++i) {
    EXPECT_EQ(Submit({i}, 2).second->Wait().tokens.size(), 2);
  }
}

TEST_F(EngineTest, CallsOnIdleOncePerIdleTime) {
  std::atomic<int> num_idle{0};
  StepGate idle;  // counts arrivals
  idle.Open();
  options_.idle_after = absl::ZeroDuration();
  options_.on_idle = [&] {
    num_idle.fetch_add(1);
    idle.Pass();
  };
  engine();
  idle.WaitForArrivals(1);
  for (int32_t i = 2; i < 5; ++i) {
    const auto runs = Submit({i}, 3);  // not cached
    gate_.Permit(2);
    runs.second->WaitForTokens(2);
    EXPECT_EQ(num_idle.load(), i - 1);
    gate_.Permit(1);
    idle.WaitForArrivals(i);
  }
  engine_.reset();
}

TEST_F(EngineTest, RefusesInvalidRequestWithoutCallingItsSink) {
  RecordingSink sink;
  EXPECT_EQ(engine().Submit(Request({40}, 1), &sink).status(),
            FieldError("prompt[0]", "token 40 is not in [0, 40)"));
  ScoreRequest score;
  EXPECT_EQ(engine().Submit(score, &sink).status().code(),
            absl::StatusCode::kInvalidArgument);
  engine().Drain(absl::InfinitePast());
  EXPECT_EQ(sink.Peek().num_finishes, 0);
}

TEST_F(EngineTest, RefusesRequestBeyondTheQueueAtOnce) {
  for (int i = 0; i < 4; ++i) Submit({1, 2}, kForever);  // 2 run, 2 wait
  const absl::Status refused = StatusOfSubmit();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(), "the queue is full: 2 requests run and 2 wait");
  gate_.WaitForArrivals(1);
  EXPECT_EQ(StatusOfSubmit().code(), absl::StatusCode::kResourceExhausted);
  const EngineStats stats = engine().Stats();
  EXPECT_EQ(stats.rejected_queue_full, 2);
  EXPECT_EQ(stats.running + stats.queued, 4);
}

TEST_F(EngineTest, SlotIsFreeWhenOnFinishIsCalled) {
  gate_.Open();
  options_.max_running = 1;
  options_.max_queued = 0;
  for (int32_t i = 0; i < 100; ++i) Submit({i % 7}, 1).second->Wait();
  EXPECT_EQ(engine().Stats().rejected_queue_full, 0);
}

TEST_F(EngineTest, AdmitsWaitingRequestsInOrder) {
  options_.max_running = 1;
  const auto first = Submit({1}, 1);
  const auto second = Submit({2}, 1);
  const auto third = Submit({3}, 1);
  gate_.Permit(1);
  first.second->Wait();
  gate_.Permit(1);
  second.second->Wait();
  EXPECT_EQ(third.second->Peek().num_finishes, 0);
  gate_.Permit(1);
  third.second->Wait();
}

TEST_F(EngineTest, CancelOfRunningRequestReleasesItsSlotAtTheNextStep) {
  const auto first = Submit({1}, kForever);
  const auto second = Submit({2}, kForever);
  const auto waiting = Submit({3}, 1);
  gate_.WaitForArrivals(1);
  gate_.Permit(2);
  second.second->WaitForTokens(1);
  gate_.WaitForArrivals(3);
  engine().Cancel(first.first);
  gate_.Permit(1);  // the running step
  const Recording result = first.second->Wait();
  EXPECT_EQ(result.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kCancelled);
  EXPECT_LE(result.tokens.size(), 3);
  gate_.Permit(1);  // the next step
  EXPECT_EQ(waiting.second->Wait().reason, FinishReason::kLength);
}

TEST_F(EngineTest, CancelOfWaitingRequestNeedsNoSlot) {
  Submit({1}, kForever);
  Submit({2}, kForever);
  const auto waiting = Submit({3}, 1);
  gate_.WaitForArrivals(1);
  engine().Cancel(waiting.first);
  gate_.Permit(1);
  const Recording result = waiting.second->Wait();
  EXPECT_EQ(result.status.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(result.tokens, IsEmpty());
  EXPECT_EQ(result.times.queue, absl::Seconds(1));
  EXPECT_EQ(result.times.prefill, absl::ZeroDuration());
  gate_.WaitForArrivals(2);  // the others continue
  EXPECT_EQ(engine().Stats().running, 2);
}

TEST_F(EngineTest, CancelOfUnknownRequestDoesNothing) {
  gate_.Open();
  engine().Cancel(12345);
  const auto first = Submit({1}, 2);
  EXPECT_EQ(first.second->Wait().reason, FinishReason::kLength);
  engine().Cancel(first.first);
  engine().Cancel(first.first);
  EXPECT_EQ(Submit({1}, 2).second->Wait().reason, FinishReason::kLength);
}

TEST_F(EngineTest, DrainLetsAcceptedRequestsFinish) {
  const auto running = Submit({1}, 3);
  const auto other = Submit({2}, 3);
  const auto waiting = Submit({3}, 3);
  const auto last = Submit({4}, 3);
  gate_.WaitForArrivals(1);
  std::thread drain = DrainBeside(absl::InfiniteFuture());
  gate_.Open();
  drain.join();
  for (const auto& submitted : {running, other, waiting, last}) {
    EXPECT_EQ(submitted.second->Peek().num_finishes, 1);
    EXPECT_EQ(submitted.second->Peek().reason, FinishReason::kLength);
  }
}

TEST_F(EngineTest, DrainEndsRequestsAtItsDeadline) {
  const auto soon = Submit({1}, 3);
  const auto never = Submit({2}, kForever);
  const auto later = Submit({3}, kForever);
  const auto waiting = Submit({4}, kForever);
  gate_.WaitForArrivals(1);
  std::thread drain = DrainBeside(absl::UnixEpoch() + absl::Seconds(5));
  gate_.Open();
  drain.join();
  EXPECT_EQ(soon.second->Peek().reason, FinishReason::kLength);
  for (const auto& submitted : {never, later, waiting}) {
    const Recording result = submitted.second->Peek();
    EXPECT_EQ(result.num_finishes, 1);
    EXPECT_EQ(result.reason, FinishReason::kCancelled);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
  }
  // They ran until the deadline, and no step longer.
  EXPECT_EQ(Now(), absl::UnixEpoch() + absl::Seconds(5));
}

TEST_F(EngineTest, SecondDrainWithEarlierDeadlineEndsRequestsThen) {
  options_.max_running = 1;
  options_.max_queued = 0;
  const auto never = Submit({1}, kForever);
  std::thread patient = DrainBeside(absl::InfiniteFuture());
  gate_.Open();
  engine().Drain(absl::InfinitePast());
  patient.join();
  EXPECT_EQ(never.second->Peek().status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, SecondDrainWithLaterDeadlineChangesNothing) {
  options_.max_running = 1;
  options_.max_queued = 0;
  const auto never = Submit({1}, kForever);
  std::thread short_drain = DrainBeside(absl::InfinitePast());
  std::thread opener([this] { gate_.Open(); });
  engine().Drain(absl::InfiniteFuture());
  short_drain.join();
  opener.join();
  EXPECT_EQ(never.second->Peek().status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, RefusesRequestsWhileDraining) {
  engine().Drain(absl::InfiniteFuture());  // no requests
  EXPECT_EQ(StatusOfSubmit().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(engine().Stats().rejected_draining, 1);
}

TEST_F(EngineTest, DestructorEndsAllRequests) {
  const auto running = Submit({1}, kForever);
  const auto other = Submit({2}, kForever);
  const auto waiting = Submit({3}, kForever);
  gate_.WaitForArrivals(1);
  gate_.Open();
  engine_.reset();
  for (const auto& submitted : {running, other, waiting}) {
    EXPECT_EQ(submitted.second->Peek().status.code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST_F(EngineTest, ReportsTimesAndCounters) {
  options_.max_running = 1;
  const auto first = Submit({1}, 3);
  gate_.WaitForArrivals(1);
  const auto second = Submit(Tokens(25, 2), 4);  // prefilled in steps of 10
  gate_.Open();
  const Times first_times = first.second->Wait().times;
  EXPECT_EQ(first_times.queue, absl::ZeroDuration());
  EXPECT_EQ(first_times.prefill, absl::Seconds(1));
  EXPECT_EQ(first_times.first_token, absl::Seconds(1));
  EXPECT_EQ(first_times.decode, absl::Seconds(2));
  const Times second_times = second.second->Wait().times;
  EXPECT_EQ(second_times.queue, absl::Seconds(3));
  EXPECT_EQ(second_times.prefill, absl::Seconds(3));
  EXPECT_EQ(second_times.first_token, absl::Seconds(6));
  EXPECT_EQ(second_times.decode, absl::Seconds(3));

  const EngineStats stats = engine().Stats();
  EXPECT_EQ(stats.queue_seconds.sum, 3);
  EXPECT_EQ(stats.prefill_seconds.sum, 4);
  EXPECT_EQ(stats.decode_seconds.sum, 5);
  EXPECT_EQ(stats.inter_token_seconds.sum, 5);
  EXPECT_EQ(stats.step_seconds.sum, 9);
  EXPECT_EQ(stats.finished[static_cast<int>(FinishReason::kLength)], 2);
}

TEST_F(EngineTest, RequestWithoutTokenHasNoTimeToFirstToken) {
  const auto request = Submit(Tokens(25, 2), 4);
  gate_.WaitForArrivals(1);
  engine().Cancel(request.first);
  gate_.Permit(1);
  const Times times = request.second->Wait().times;
  EXPECT_EQ(times.first_token, absl::InfiniteDuration());
  EXPECT_EQ(times.prefill, absl::Seconds(1));  // until the cancellation
  EXPECT_EQ(times.decode, absl::ZeroDuration());
}

TEST_F(EngineTest, SuspendedRequestsEndWhileOthersAreAccepted) {
  RecordingSink* const suspended = NewSink();
  GenerateRequest request = Request({1}, kForever);
  request.snapshot_on_drain = true;
  ASSERT_TRUE(engine().Submit(request, suspended).ok());
  const auto running = Submit({1}, 3);
  gate_.WaitForArrivals(1);
  engine().SuspendRequests();
  const auto later = Submit({2}, 3);
  gate_.Open();
  const Recording recording = suspended->Wait();
  EXPECT_EQ(recording.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(recording.snapshot, nullptr);
  EXPECT_TRUE(running.second->Wait().status.ok());
  EXPECT_TRUE(later.second->Wait().status.ok());
}

}  // namespace
}  // namespace rwkvd
