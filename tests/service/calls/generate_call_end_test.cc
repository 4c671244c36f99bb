// SPDX-License-Identifier: Apache-2.0
// Generate calls that are refused or end early: cancelled, past their deadline,
// or drained.

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

// Lets the model run step by step until a request has been cancelled. There is
// no event for the moment when the server learns of a cancellation.
bool StepUntilCancelled(TestServer& server) {
  return Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  });
}

TEST(GenerateCallEndTest, CancelingFreesTheSlot) {
  TestServer server(OneAtATime(8));
  Client first(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);  // the request runs
  Client second(server, SimpleRequest(2));
  first.Cancel();
  EXPECT_EQ(first.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(second.Finish().ids.size(), 2u);
}

TEST(GenerateCallEndTest, CancelingRemovesTheRequestFromTheQueue) {
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

TEST(GenerateCallEndTest, DeadlineEndsTheRequest) {
  TestServer server(OneAtATime(8));
  Client late(server, SimpleRequest(1 << 20), absl::Milliseconds(100));
  EXPECT_EQ(late.Finish().status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(Generate(server, SimpleRequest(1)).ids.size(), 1u);
}

TEST(GenerateCallEndTest, FullQueueIsReportedAtOnce) {
  TestServer server(OneAtATime(1));
  Client running(server, SimpleRequest(2));
  server.gate().WaitForArrivals(1);
  Client queued(server, SimpleRequest(2));
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  // The gate is closed: the call is answered although no step completes.
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.pushback, "1000");
  server.gate().Open();
  EXPECT_TRUE(running.Finish().status.ok());
  EXPECT_TRUE(queued.Finish().status.ok());
}

// gRPC retries a call only if it has received no message.
TEST(GenerateCallEndTest, RequestThatWaitedTooLongReceivesOnlyTheStatus) {
  Options options;
  options.engine.max_queue_time = absl::Nanoseconds(1);
  TestServer server(options);
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(refused.has_finish);
  EXPECT_EQ(refused.pushback, "1000");
  EXPECT_EQ(server.engine().Stats().rejected_queue_time, 1u);
}

TEST(GenerateCallEndTest, RequestThatCannotMeetItsDeadlineIsRefused) {
  Options options;
  // The engine's clock measures ten seconds per step.
  options.engine.clock = [late = absl::ZeroDuration()]() mutable {
    late += absl::Seconds(10);
    return absl::Now() + late;
  };
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(256, 'a'));
  // One full step, from which the engine learns its speed.
  EXPECT_TRUE(Generate(server, request).status.ok());
  request.mutable_prompt()->set_text(std::string(1 << 18, 'b'));
  const Answer refused = Client(server, request, absl::Hours(1)).Finish();
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("cannot be met"));
  EXPECT_FALSE(refused.has_finish);
  request.mutable_prompt()->set_text("c");
  EXPECT_TRUE(Client(server, request, absl::Hours(1)).Finish().status.ok());
}

TEST(GenerateCallEndTest,
     DrainingLetsARunningRequestFinishWithinTheGracePeriod) {
  Options options;
  options.drain_grace = absl::Minutes(10);
  TestServer server(options);
  Client running(server, SimpleRequest(3));
  server.gate().WaitForArrivals(1);
  server.server().Drain();
  // Calls are refused once the engine drains, too.
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

TEST(GenerateCallEndTest, DrainingEndsLongRequestsWithUnavailable) {
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

TEST(GenerateCallEndTest, SecondDrainEndsTheGracePeriod) {
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
