// SPDX-License-Identifier: Apache-2.0
// The end of a server and of its connections, as clients see them.

#include <grpcpp/create_channel.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

Options WithGrace(absl::Duration grace) {
  Options options;
  options.drain_grace = grace;
  return options;
}

// A connection of its own.
std::shared_ptr<grpc::Channel> NewChannel(TestServer& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      server.server().address(), grpc::InsecureChannelCredentials(), arguments);
}

// Waits until the channel has no connection any more for new calls.
void WaitForGoaway(grpc::Channel& channel) {
  for (grpc_connectivity_state state = channel.GetState(false);
       state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_CONNECTING;
       state = channel.GetState(false)) {
    channel.WaitForStateChange(state,
                               std::chrono::system_clock::time_point::max());
  }
}

// The retry time that the server has sent at the end of a call; "" for none.
std::string RetryTimeOf(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(kRetryPushback);
  if (found == trailers.end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// A Generate call that has received its first token.
class RunningCall {
 public:
  RunningCall(const std::shared_ptr<grpc::Channel>& channel, int max_tokens)
      : RunningCall(channel, SimpleRequest(max_tokens)) {}
  RunningCall(const std::shared_ptr<grpc::Channel>& channel,
              const v1::GenerateRequest& request)
      : stub_(v1::RwkvService::NewStub(channel)),
        reader_(stub_->Generate(&context_, request)) {
    v1::GenerateResponse response;
    EXPECT_TRUE(reader_->Read(&response));
  }

  grpc::Status Finish() {
    v1::GenerateResponse response;
    while (reader_->Read(&response)) {
    }
    return reader_->Finish();
  }

  std::string retry_time() const { return RetryTimeOf(context_); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::RwkvService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
};

TEST(EndingTest, ClientsConnectElsewhereWhileTheirCallsContinue) {
  TestServer server(WithGrace(absl::Hours(1)));
  server.gate().Permit(2);
  const auto channel = NewChannel(server);
  RunningCall call(channel, 3);
  server.server().Drain();
  WaitForGoaway(*channel);
  // Nobody can connect.
  const auto other = NewChannel(server);
  grpc::ClientContext context;
  v1::GetModelResponse response;
  EXPECT_EQ(v1::RwkvService::NewStub(other)
                ->GetModel(&context, {}, &response)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  server.gate().Open();
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(EndingTest, WatchCallsAreEndedAndDoNotDelayTheEnd) {
  TestServer server(WithGrace(absl::Hours(1)));
  grpc::ClientContext context;
  const auto stub = server.NewHealthStub();
  const auto watch = stub->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  server.server().Drain();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  const grpc::Status status = watch->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  // Otherwise the connection was closed under the call.
  EXPECT_EQ(status.error_message(), "the server is shutting down");
  EXPECT_EQ(RetryTimeOf(context), "100");
  EXPECT_TRUE(server.WaitForEnd().ok());
}

// Calls that are sent while the server begins to drain.
TEST(EndingTest, NoCallIsCancelled) {
  for (int round = 0; round < 5; ++round) {
    TestServer server(WithGrace(absl::Hours(1)));
    server.gate().Open();
    std::vector<std::thread> clients;
    absl::Mutex mutex;
    int num_ok = 0;
    std::vector<grpc::Status> errors;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&, stub = server.NewStub()] {
        grpc::Status status;
        while (status.ok()) {
          grpc::ClientContext context;
          const auto reader = stub->Generate(&context, SimpleRequest(1));
          v1::GenerateResponse response;
          while (reader->Read(&response)) {
          }
          status = reader->Finish();
          absl::MutexLock lock(&mutex);
          if (status.ok()) ++num_ok;
        }
        absl::MutexLock lock(&mutex);
        errors.push_back(status);
      });
    }
    {
      absl::MutexLock lock(&mutex);
      const auto has_served = [&] { return num_ok >= 20; };
      mutex.Await(absl::Condition(&has_served));
    }
    server.server().Drain();
    for (std::thread& client : clients) client.join();
    for (const grpc::Status& error : errors) {
      EXPECT_EQ(error.error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_NE(error.error_message(), "");
    }
    EXPECT_TRUE(server.WaitForEnd().ok());
  }
}

// The engine has finished long before the client has read everything.
TEST(EndingTest, SlowReaderGetsItsWholeResponseInTheGracePeriod) {
  TestServer server(WithGrace(absl::Hours(1)));
  server.gate().Open();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // a window of 64 KiB
  const auto channel = grpc::CreateCustomChannel(
      server.server().address(), grpc::InsecureChannelCredentials(), arguments);
  v1::GenerateRequest request = SimpleRequest(1000);
  request.set_top_logprobs(32);
  RunningCall call(channel, request);
  server.server().Drain();
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kLength) == 1; }));
  absl::SleepFor(absl::Seconds(4));  // longer than a server waits for nothing
  const grpc::Status status = call.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(server.WaitForEnd().ok());
}

// Calls that wait for their clients, not for the engine.
TEST(EndingTest, HalfOpenCallsEndWithAReason) {
  TestServer server(WithGrace(absl::Hours(1)));
  server.gate().Open();
  const auto stub = v1::RwkvService::NewStub(NewChannel(server));

  grpc::ClientContext document_context;
  const auto document = stub->ScoreDocument(&document_context);
  v1::ScoreDocumentRequest part;
  part.mutable_part()->set_text("ab");
  part.set_token_scores(true);
  ASSERT_TRUE(document->Write(part));
  v1::ScoreDocumentResponse scores;
  ASSERT_TRUE(document->Read(&scores));

  grpc::ClientContext put_context;
  v1::PutStateResponse put_response;
  const auto put = stub->PutState(&put_context, &put_response);
  v1::PutStateRequest data;
  data.set_data("x");
  ASSERT_TRUE(put->Write(data));

  server.server().DrainAtOnce();
  EXPECT_FALSE(document->Read(&scores));
  for (const grpc::Status& status : {document->Finish(), put->Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  }
  EXPECT_EQ(RetryTimeOf(document_context), "100");
  EXPECT_EQ(RetryTimeOf(put_context), "100");
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(EndingTest, CallsThatOutlastTheGracePeriodMayBeRetried) {
  TestServer server(WithGrace(absl::ZeroDuration()));
  server.gate().Open();
  RunningCall call(NewChannel(server), 1 << 20);
  server.server().Drain();
  const grpc::Status status = call.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the server is shutting down");
  EXPECT_EQ(call.retry_time(), "100");
  EXPECT_TRUE(server.WaitForEnd().ok());
}

TEST(EndingTest, RefusedCallsMayBeRetriedAtOnce) {
  TestServer server(WithGrace(absl::Hours(1)));
  server.gate().Permit(2);
  RunningCall call(NewChannel(server), 3);
  std::thread drain([&] { server.engine().Drain(absl::InfiniteFuture()); });
  Answer answer;
  EXPECT_TRUE(Eventually([&] {
    // A call that comes before the drain waits for the gate.
    answer = Client(server, SimpleRequest(1 << 20), absl::Milliseconds(200))
                 .Finish();
    return answer.status.error_code() == grpc::StatusCode::UNAVAILABLE;
  }));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("shutting down"));
  EXPECT_EQ(answer.pushback, "100");
  server.gate().Open();
  EXPECT_TRUE(call.Finish().ok());
  drain.join();
}

TEST(EndingTest, OldConnectionIsReplacedWhileItsCallsContinue) {
  Options options;
  options.max_connection_age = absl::Seconds(1);
  TestServer server(options);
  server.gate().Permit(2);
  const auto channel = NewChannel(server);
  RunningCall call(channel, 3);
  WaitForGoaway(*channel);
  server.gate().Open();
  RunningCall next(channel, 3);  // on a new connection
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(next.Finish().ok());
}

TEST(EndingTest, CallOnAnOldConnectionEndsWithUnavailableAfterTheGracePeriod) {
  Options options;
  options.max_connection_age = absl::Seconds(1);
  options.max_connection_age_grace = absl::Milliseconds(10);
  TestServer server(options);
  server.gate().Permit(2);
  RunningCall call(NewChannel(server), 1 << 20);
  const grpc::Status status = call.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << status.error_message();
}

}  // namespace
}  // namespace rwkvd
