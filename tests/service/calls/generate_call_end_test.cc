// SPDX-License-Identifier: Apache-2.0
// Generate calls that are refused, or end before their time: cancelled, out of
// time, or drained.

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

Options OneAtATime(int max_queued) {
  Options options;
  options.engine.max_running = 1;
  options.engine.max_queued = max_queued;
  return options;
}

// Lets the model go step by step until a request was cancelled: the server
// hears of a cancellation soon, but there is no event to tell when.
bool StepUntilCancelled(TestServer& server) {
  return Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  });
}

TEST(GenerateCallEndTest, CancelingFreesThePlace) {
  TestServer server(OneAtATime(8));
  Client first(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);  // it runs
  Client second(server, SimpleRequest(2));
  first.Cancel();
  EXPECT_EQ(first.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(second.Finish().ids.size(), 2u);
}

TEST(GenerateCallEndTest, CancelingTakesTheRequestOutOfTheQueue) {
  TestServer server(OneAtATime(8));
  Client running(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);
  Client queued(server, SimpleRequest(2));
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  queued.Cancel();
  EXPECT_EQ(queued.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(StepUntilCancelled(server));
  EXPECT_EQ(server.engine().Stats().queued, 0);
  EXPECT_EQ(server.engine().Stats().running, 1);
  running.Cancel();
  running.Finish();
}

TEST(GenerateCallEndTest, TheDeadlineEndsTheRequest) {
  TestServer server(OneAtATime(8));
  Client late(server, SimpleRequest(1 << 20), absl::Milliseconds(100));
  EXPECT_EQ(late.Finish().status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(Generate(server, SimpleRequest(1)).ids.size(), 1u);
}

TEST(GenerateCallEndTest, AFullQueueIsToldAtOnce) {
  TestServer server(OneAtATime(1));
  Client running(server, SimpleRequest(2));
  server.gate().WaitForArrivals(1);
  Client queued(server, SimpleRequest(2));
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  // The gate is closed: nothing moves, and still there is an answer.
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.pushback, "1000");
  server.gate().Open();
  EXPECT_TRUE(running.Finish().status.ok());
  EXPECT_TRUE(queued.Finish().status.ok());
}

// gRPC's own retries take up only what has not been answered in part.
TEST(GenerateCallEndTest, WhoHasWaitedForTooLongGetsNothingButTheStatus) {
  Options options;
  options.engine.max_queue_time = absl::Nanoseconds(1);
  TestServer server(options);
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(refused.has_finish);
  EXPECT_EQ(refused.pushback, "1000");
  EXPECT_EQ(server.engine().Stats().rejected_queue_time, 1u);
}

TEST(GenerateCallEndTest, ADeadlineThatCannotBeMetIsRefused) {
  Options options;
  // The engine sees each step take ten seconds.
  options.engine.clock = [late = absl::ZeroDuration()]() mutable {
    late += absl::Seconds(10);
    return absl::Now() + late;
  };
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(256, 'a'));
  EXPECT_TRUE(Generate(server, request).status.ok());  // a full step
  request.mutable_prompt()->set_text(std::string(1 << 18, 'b'));
  const Answer refused = Client(server, request, absl::Hours(1)).Finish();
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("cannot be met"));
  EXPECT_FALSE(refused.has_finish);
  request.mutable_prompt()->set_text("c");
  EXPECT_TRUE(Client(server, request, absl::Hours(1)).Finish().status.ok());
}

TEST(GenerateCallEndTest, DrainingLetsARunningRequestFinishInItsGrace) {
  Options options;
  options.drain_grace = absl::Minutes(10);
  TestServer server(options);
  Client running(server, SimpleRequest(3));
  server.gate().WaitForArrivals(1);
  server.server().Drain();
  // Refused, once the engine drains too.
  EXPECT_TRUE(Eventually([&] {
    return Client(server, SimpleRequest(1), absl::Milliseconds(200))
               .Finish()
               .status.error_code() == grpc::StatusCode::UNAVAILABLE;
  }));
  server.gate().Open();
  const Answer answer = running.Finish();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.finish.reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(GenerateCallEndTest, DrainingEndsTheRestWithUnavailable) {
  Options options;
  options.drain_grace = absl::ZeroDuration();
  TestServer server(options);
  Client running(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);
  server.server().Drain();
  server.gate().Open();
  const Answer answer = running.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_TRUE(answer.has_finish);
  EXPECT_EQ(answer.finish.reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(GenerateCallEndTest, ASecondDrainCutsTheGraceShort) {
  Options options;
  options.drain_grace = absl::Hours(1);
  TestServer server(options);
  Client running(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);
  server.gate().Open();
  server.server().Drain();
  server.server().Drain();
  EXPECT_EQ(running.Finish().status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

}  // namespace
}  // namespace rwkvd
