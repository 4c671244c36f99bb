// SPDX-License-Identifier: Apache-2.0
// Clients that do not read their responses or do not send the next message.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Milliseconds(100);

constexpr int kEchoed = 20'000;

// A request whose response has about 430 bytes per echoed token. A client that
// does not read takes about 4 MiB.
v1::GenerateRequest LargeEcho(int num_echoed = kEchoed) {
  v1::GenerateRequest request = SimpleRequest(0);
  request.mutable_prompt()->set_text(std::string(num_echoed, 'a'));
  request.set_echo_top_logprobs(32);
  return request;
}

TEST(SlowClientTest, UnreadResponseEndsWithTheReason) {
  Options options;
  options.unread_timeout = kSoon;
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(200'000);
  request.set_top_logprobs(32);
  Client slow(server, request);
  // The request runs until its call is given up.
  ASSERT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kCancelled) == 1; }));
  const Answer answer = slow.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("--unread_timeout"));
  EXPECT_FALSE(answer.has_finish);
}

TEST(SlowClientTest, NothingIsHeldForAClientThatNeverReads) {
  Options options;
  options.unread_timeout = kSoon;
  TestServer server(options);
  server.gate().Open();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(server, LargeEcho()));
  }
  ASSERT_TRUE(Eventually([&] {
    return server.NumFinished(FinishReason::kCancelled) +
               server.NumFinished(FinishReason::kLength) ==
           4;
  }));
  EXPECT_TRUE(Eventually([&] { return server.server().unread_bytes() == 0; }));
  for (const auto& client : clients) {
    EXPECT_EQ(client->Finish().status.error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
}

TEST(SlowClientTest, CallThatHoldsMostMemoryIsGivenUpForOthers) {
  Options options;
  options.response_memory_bytes = 12 << 20;
  TestServer server(options);
  server.gate().Open();
  Client largest(server, LargeEcho(22'000));
  ASSERT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kLength) == 1; }));
  EXPECT_GT(server.server().unread_bytes(), 2 << 20);
  // An honest client gets its whole response meanwhile.
  const Answer honest = Generate(server, LargeEcho());
  EXPECT_TRUE(honest.status.ok()) << honest.status.error_message();
  EXPECT_EQ(honest.prompt.size(), kEchoed);
  std::vector<std::unique_ptr<Client>> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(std::make_unique<Client>(server, LargeEcho(17'000)));
  }
  ASSERT_TRUE(Eventually([&] {
    EXPECT_LE(server.server().unread_bytes(), options.response_memory_bytes);
    return server.NumFinished(FinishReason::kCancelled) +
               server.NumFinished(FinishReason::kLength) ==
           6;
  }));
  const Answer answer = largest.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("holds most"));
}

TEST(SlowClientTest, SamplesThatAreTooLongToChooseFromEndWithTheReason) {
  Options options;
  options.response_memory_bytes = 1 << 20;
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(10'000);
  request.set_logprobs(true);
  request.set_best_of(8);
  const Answer answer = Generate(server, request);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(answer.status.error_message(),
              HasSubstr("best_of: the samples are too long to choose from"));
  EXPECT_TRUE(answer.ids.empty());
}

TEST(SlowClientTest, ResponseThatCannotFitIsRefusedAtOnce) {
  Options options;
  options.response_memory_bytes = 1 << 20;
  TestServer server(options);  // the gate is closed: nothing can be computed
  v1::GenerateRequest request = SimpleRequest(10'000);
  request.set_top_logprobs(32);
  const Answer tops = Generate(server, request);
  EXPECT_EQ(tops.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(tops.status.error_message(), HasSubstr("top_logprobs: "));
  const Answer echo = Generate(server, LargeEcho());
  EXPECT_EQ(echo.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(echo.status.error_message(), HasSubstr("echo_top_logprobs: "));
  v1::ScoreRequest score;
  score.add_continuations()->set_text(std::string(100'000, 'a'));
  v1::ScoreResponse response;
  grpc::ClientContext context;
  const grpc::Status status =
      server.NewStub()->Score(&context, score, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("totals_only"));
}

TEST(SlowClientTest, StreamWithoutMessagesEndsAfterTheIdleTimeout) {
  Options options;
  options.stream_idle_timeout = kSoon;
  TestServer server(options);
  const auto stub = server.NewStub();
  grpc::ClientContext put_context;
  v1::PutStateResponse response;
  const auto put = stub->PutState(&put_context, &response);
  grpc::ClientContext score_context;
  const auto score = stub->ScoreDocument(&score_context);
  for (const grpc::Status& status : {put->Finish(), score->Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_THAT(status.error_message(), HasSubstr("--stream_idle_timeout"));
  }
}

TEST(SlowClientTest, StreamsOfOneAddressLeaveSlotsToOthers) {
  Options options;
  options.engine.max_running = 8;
  TestServer server(options);
  server.gate().Open();
  const auto stub = server.NewStub();
  v1::ScoreDocumentRequest request;
  request.mutable_part()->set_text("a");
  request.set_token_scores(true);
  v1::ScoreDocumentResponse response;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  const auto open = [&] {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    auto stream = stub->ScoreDocument(contexts.back().get());
    stream->Write(request);
    return stream;
  };
  std::vector<decltype(open())> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(open());
    EXPECT_TRUE(streams.back()->Read(&response));
  }
  const auto refused = open();
  EXPECT_FALSE(refused->Read(&response));
  EXPECT_EQ(refused->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace rwkvd
