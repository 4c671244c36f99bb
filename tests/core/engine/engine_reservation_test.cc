// SPDX-License-Identifier: Apache-2.0
// Requests whose start state is loaded after their slots have been reserved.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/retry_after.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// An engine that runs one request and queues one.
class EngineReservationTest : public EngineFixture {
 protected:
  EngineReservationTest()
      : EngineFixture(/*max_running=*/1, /*max_queued=*/1) {}

  // The snapshot at the end of a request with `prompt` that has generated one
  // token.
  std::shared_ptr<const Snapshot> SnapshotAfter(const Tokens& prompt) {
    GenerateRequest request = Request(prompt, 1);
    request.snapshot_at_end = true;
    RecordingSink* const sink = NewSink();
    EXPECT_TRUE(engine().Submit(std::move(request), sink).ok());
    return sink->Wait().snapshot;
  }

  absl::Status TryReserve() {
    return engine().Reserve(Request({1}, 1), 1).status();
  }

  absl::Status Submit(Engine::Reservation reservation,
                      const GenerateRequest& request, RecordingSink* sink) {
    GenerateSink* const sinks[] = {sink};
    return engine().Submit(std::move(reservation), request, sinks).status();
  }
};

TEST_F(EngineReservationTest, EngineAcceptsUntilItDrains) {
  EXPECT_TRUE(engine().CheckAccepting().ok());
  engine().Drain(absl::InfinitePast());
  EXPECT_EQ(engine().CheckAccepting(), TryReserve());
  EXPECT_EQ(engine().CheckAccepting().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineReservationTest, ReservationCountsAsQueuedUntilItIsDestroyed) {
  gate_.Open();
  {
    const auto first = engine().Reserve(Request({1}, 1), 1);
    const auto second = engine().Reserve(Request({1}, 1), 1);
    ASSERT_TRUE(first.ok() && second.ok());
    const absl::Status full = TryReserve();
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(full.message()), HasSubstr("the queue is full"));
    EXPECT_TRUE(RetryAfter(full).has_value());
    EXPECT_EQ(engine().CheckAccepting(), full);
    EXPECT_EQ(engine().Submit(Request({1}, 1), NewSink()).status().code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(engine().Stats().rejected_queue_full, 3);
  }
  EXPECT_TRUE(TryReserve().ok());
}

TEST_F(EngineReservationTest, ReservedRequestContinuesLikeOneSubmittedWhole) {
  gate_.Open();
  GenerateRequest request = Request({3}, 4);
  auto reservation = engine().Reserve(request, 1);
  ASSERT_TRUE(reservation.ok());
  request.start = SnapshotAfter({1, 2});
  RecordingSink* const whole = NewSink();
  ASSERT_TRUE(engine().Submit(request, whole).ok());
  const Recording expected = whole->Wait();
  RecordingSink* const sink = NewSink();
  ASSERT_TRUE(Submit(*std::move(reservation), request, sink).ok());
  const Recording actual = sink->Wait();
  EXPECT_EQ(actual.reason, FinishReason::kLength);
  EXPECT_EQ(actual.tokens, expected.tokens);
  EXPECT_EQ(actual.num_finishes, 1);
}

TEST_F(EngineReservationTest, StartStateThatDoesNotFitReleasesTheSlots) {
  gate_.Open();
  options_.max_prompt_tokens = 10;
  options_.max_generated_tokens = 10;
  options_.max_total_tokens = 20;
  GenerateRequest request = Request({1}, 10);
  request.start = SnapshotAfter({1, 2, 3, 4, 5, 6, 7, 8, 9});
  auto reservation = engine().Reserve(Request({1}, 10), 1);
  ASSERT_TRUE(reservation.ok());
  const absl::Status status =
      Submit(*std::move(reservation), request, NewSink());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("count for 0 of at most 20, this one for 21"));
  EXPECT_EQ(engine().Stats().rejected_total_tokens, 1);
  auto next = engine().Reserve(Request({1}, 10), 1);
  ASSERT_TRUE(next.ok());
  request.resume = true;
  EXPECT_EQ(Submit(*std::move(next), request, NewSink()).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(engine().Reserve(Request({1}, 10), 1).ok());
}

TEST_F(EngineReservationTest, DrainWaitsForReservationsAndEndsTheirRequests) {
  gate_.Open();
  GenerateRequest request = Request({1}, 1);
  auto reservation = engine().Reserve(request, 1);
  ASSERT_TRUE(reservation.ok());
  request.start = SnapshotAfter({1, 2});
  std::thread drain([this] { engine().Drain(absl::InfiniteFuture()); });
  RecordingSink* const sink = NewSink();
  // Before or after draining began, a reserved request is accepted.
  ASSERT_TRUE(Submit(*std::move(reservation), request, sink).ok());
  drain.join();
  EXPECT_EQ(sink->Peek().num_finishes, 1);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kLength);
  EXPECT_EQ(TryReserve().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineReservationTest, DestroyedReservationLetsDrainReturn) {
  auto reservation = engine().Reserve(Request({1}, 1), 1);
  ASSERT_TRUE(reservation.ok());
  std::thread drain([this] { engine().Drain(absl::InfinitePast()); });
  { const Engine::Reservation dropped = *std::move(reservation); }
  drain.join();
}

}  // namespace
}  // namespace rwkvd
