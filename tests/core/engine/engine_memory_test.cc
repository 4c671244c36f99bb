// SPDX-License-Identifier: Apache-2.0
// What requests may take of an engine's slots and memory.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/retry_after.h"
#include "core/engine/engine.h"
#include "core/engine/request_memory.h"
#include "core/engine/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// An engine with four slots.
class EngineMemoryTest : public EngineFixture {
 protected:
  EngineMemoryTest() : EngineFixture(/*max_running=*/4, /*max_queued=*/20) {}

  std::vector<RecordingSink*> SubmitSamples(int num_samples,
                                            const GenerateRequest& request) {
    std::vector<RecordingSink*> sinks;
    std::vector<GenerateSink*> pointers;
    for (int i = 0; i < num_samples; ++i) {
      sinks.push_back(NewSink());
      pointers.push_back(sinks.back());
    }
    const auto ids = engine().Submit(request, pointers);
    EXPECT_TRUE(ids.ok()) << ids.status();
    return sinks;
  }

  RecordingSink* Submit(const GenerateRequest& request) {
    return SubmitSamples(1, request)[0];
  }
};

TEST_F(EngineMemoryTest, SamplesOfARequestRunInHalfOfTheSlots) {
  const auto samples = SubmitSamples(4, Request({1}, 6));
  gate_.Permit(1);
  gate_.WaitForArrivals(2);
  EXPECT_EQ(engine().Stats().running, 2);
  EXPECT_EQ(engine().Stats().queued, 2);
  // Another request finds a slot although two samples wait before it.
  RecordingSink* other = Submit(Request({2}, 2));
  gate_.Permit(3);
  EXPECT_EQ(other->Wait().reason, FinishReason::kLength);
  EXPECT_EQ(samples[0]->Peek().num_finishes, 0);
  gate_.Open();
  const Recording alone = Submit(Request({1}, 6))->Wait();
  for (RecordingSink* sample : samples) {
    EXPECT_TRUE(sample->Wait().HasSameAnswer(alone));
  }
}

TEST_F(EngineMemoryTest, SingleSlotRunsOneSampleAfterTheOther) {
  options_.max_running = 2;
  gate_.Open();
  for (RecordingSink* sample : SubmitSamples(2, Request({1}, 3))) {
    EXPECT_EQ(sample->Wait().reason, FinishReason::kLength);
  }
}

TEST_F(EngineMemoryTest, WaitingSamplesOfARunningRequestAreNotRefused) {
  options_.max_queue_time = absl::Seconds(2);
  gate_.Open();
  for (RecordingSink* sample : SubmitSamples(4, Request({1}, 6))) {
    EXPECT_EQ(sample->Wait().reason, FinishReason::kLength);
  }
}

TEST_F(EngineMemoryTest, SamplesWithoutRoomForTheirPromptsResultPrefillIt) {
  options_.max_branch_states = BranchStates::kReserved;
  gate_.Open();
  const auto samples = SubmitSamples(4, Request({1, 2, 3}, 5));
  const Recording alone = Submit(Request({1, 2, 3}, 5))->Wait();
  for (RecordingSink* sample : samples) {
    EXPECT_TRUE(sample->Wait().HasSameAnswer(alone));
  }
}

TEST_F(EngineMemoryTest, SamplesMayCountForHalfOfTheTokens) {
  options_.max_prompt_tokens = 10;
  options_.max_generated_tokens = 10;
  options_.max_total_tokens = 100;
  gate_.Open();
  SubmitSamples(4, Request({1, 2}, 10));
  GenerateSink* const sinks[] = {NewSink(), NewSink(), NewSink(), NewSink()};
  const absl::Status refused =
      engine().Submit(Request({1, 2, 3}, 10), sinks).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("4 samples of up to 13 tokens count for 52 tokens, one "
                        "request may count for at most 50"));
  // A request with one sample fits, however small the limit.
  EXPECT_EQ(Submit(Request(Tokens(10, 1), 10))->Wait().reason,
            FinishReason::kLength);
}

TEST_F(EngineMemoryTest, RequestsTakeNoMoreThanTheirBudget) {
  const int64_t bytes = MemoryOf(Request({1}, 100), kVocabSize);
  options_.max_request_bytes = 2 * bytes + 10;
  RecordingSink* first = Submit(Request({1}, 100));
  Submit(Request({1}, 100));
  const absl::Status refused =
      engine().Submit(Request({1}, 0), NewSink()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("out of memory"));
  EXPECT_TRUE(RetryAfter(refused).has_value());
  EXPECT_EQ(engine().Stats().rejected_memory, 1);
  gate_.Open();
  first->Wait();
  // The memory of the first request is free once its sequence is destroyed.
  engine().Drain(absl::InfiniteFuture());
}

TEST_F(EngineMemoryTest, RequestThatCanNeverFitIsInvalid) {
  options_.max_request_bytes = 2 * MemoryOf(Request({1}, 100), kVocabSize);
  const absl::Status refused =
      engine().Submit(Request({1}, 101), NewSink()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("bytes of memory"));
  ScoreRequest score;
  score.items[0].continuations = {Tokens(1000, 2)};
  EXPECT_EQ(engine().Submit(score, NewSink()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineMemoryTest, ScoresWaitForTheStatesOfOthers) {
  options_.max_branch_states = 13;
  gate_.Open();
  // Each needs ten branch states, so that one runs after the other.
  ScoreRequest request;
  request.items[0].context = {1};
  for (int leaf = 0; leaf < 1 << 10; ++leaf) {
    Tokens& text = request.items[0].continuations.emplace_back();
    for (int bit = 0; bit < 10; ++bit) {
      text.insert(text.end(), 2, leaf >> bit & 1);
    }
  }
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(NewSink());
    ASSERT_TRUE(engine().Submit(request, sinks.back()).ok());
  }
  RecordingSink* other = Submit(Request({2}, 2));
  EXPECT_EQ(other->Wait().reason, FinishReason::kLength);
  for (RecordingSink* sink : sinks) {
    const Recording result = sink->Wait();
    EXPECT_EQ(result.reason, FinishReason::kScored);
    EXPECT_EQ(result.scores, sinks[0]->Peek().scores);
    EXPECT_THAT(result.scores, SizeIs(1 << 10));
  }
}

TEST_F(EngineMemoryTest, SnapshotsThatAreNotDeliveredTakeSlots) {
  options_.max_running = 1;
  options_.max_snapshots = 1;
  gate_.Open();
  GenerateRequest request = Request({1}, 1);
  request.snapshot_at_end = true;
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 3; ++i) sinks.push_back(Submit(request));
  std::shared_ptr<const Snapshot> first = sinks[0]->Wait().snapshot;
  const std::shared_ptr<const Snapshot> second = sinks[1]->Wait().snapshot;
  EXPECT_EQ(first->tokens, second->tokens);
  EXPECT_EQ(engine().Stats().queued, 1);
  sinks[0]->Forget();
  first = nullptr;
  EXPECT_NE(sinks[2]->Wait().snapshot, nullptr);
}

TEST_F(EngineMemoryTest, DrainSuspendsWaitingRequestsAsSnapshotsAreDelivered) {
  options_.max_running = 1;
  options_.max_snapshots = 1;
  GenerateRequest request = Request({1}, kForever);
  request.snapshot_on_drain = true;
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 4; ++i) sinks.push_back(Submit(request));
  gate_.WaitForArrivals(1);
  gate_.Open();
  std::thread drain([this] { engine().Drain(absl::InfiniteFuture()); });
  for (RecordingSink* sink : sinks) {
    EXPECT_NE(sink->Wait().snapshot, nullptr);
    sink->Forget();
  }
  drain.join();
}

TEST_F(EngineMemoryTest, SnapshotOutlivesTheEngine) {
  gate_.Open();
  GenerateRequest request = Request({1, 2}, 1);
  request.snapshot_at_end = true;
  const std::shared_ptr<const Snapshot> snapshot =
      Submit(request)->Wait().snapshot;
  engine_ = nullptr;
  EXPECT_THAT(snapshot->tokens, SizeIs(3));
}

}  // namespace
}  // namespace rwkvd
