// SPDX-License-Identifier: Apache-2.0
#include "service/calls/generate_call.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

TEST(GenerateCallTest, StreamsTokensThenOneFinish) {
  TestServer server;
  server.gate().Open();
  const Answer answer = Generate(server, SimpleRequest(20));
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_TRUE(answer.has_finish);
  EXPECT_EQ(answer.ids.size(), 20u);
  EXPECT_EQ(answer.finish.reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(answer.finish.usage().prompt_tokens(), 1);
  EXPECT_EQ(answer.finish.usage().generated_tokens(), 20);
  EXPECT_EQ(answer.finish.seed(), 1u);
  EXPECT_TRUE(answer.finish.times().has_time_to_first_token_seconds());
  // Token ids equal the bytes.
  EXPECT_EQ(answer.bytes, std::string(answer.ids.begin(), answer.ids.end()));
}

TEST(GenerateCallTest, AcceptedDraftTokensAreReported) {
  Options options;
  options.engine.max_draft_tokens = 4;
  TestServer drafting(options);
  TestServer plain;
  drafting.gate().Open();
  plain.gate().Open();
  v1::GenerateRequest request = SimpleRequest(40);
  for (int i = 0; i < 30; ++i) {
    request.mutable_sampling()->add_forced_tokens('a' + i % 7);
  }
  const Answer fast = Generate(drafting, request);
  const Answer slow = Generate(plain, request);
  EXPECT_EQ(fast.ids, slow.ids);
  EXPECT_EQ(fast.finish.usage().generated_tokens(), 40);
  EXPECT_GT(fast.finish.usage().accepted_draft_tokens(), 0);
  EXPECT_LT(fast.finish.usage().accepted_draft_tokens(), 40);
  EXPECT_EQ(slow.finish.usage().accepted_draft_tokens(), 0);
}

TEST(GenerateCallTest, SendsEachTokenBeforeTheNextIsGenerated) {
  TestServer server;
  Client client(server, SimpleRequest(3));
  server.gate().Permit(1);
  // The first token arrives although the second step cannot run.
  EXPECT_EQ(client.ReadDelta().tokens_size(), 1);
  server.gate().Open();
  EXPECT_EQ(client.Finish().ids.size(), 2u);
}

TEST(GenerateCallTest, SeedOfTheFinishReproducesTheAnswer) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(30);
  request.mutable_sampling()->clear_seed();
  const Answer first = Generate(server, request);
  const Answer other = Generate(server, request);
  EXPECT_NE(first.finish.seed(), other.finish.seed());
  EXPECT_NE(first.ids, other.ids);
  request.mutable_sampling()->set_seed(first.finish.seed());
  EXPECT_EQ(Generate(server, request).ids, first.ids);
}

TEST(GenerateCallTest, TokensHaveTextOnlyIfRequested) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(20);
  request.mutable_prompt()->set_text("ab");
  request.set_top_logprobs(2);
  request.set_top_drawn_logprobs(1);
  request.set_echo_top_logprobs(1);
  EXPECT_EQ(Generate(server, request).tokens[0].bytes(), "");
  request.set_token_text(true);
  const Answer answer = Generate(server, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(answer.prompt.size(), 2u);
  EXPECT_EQ(answer.prompt[0].text(), "a");
  EXPECT_EQ(answer.prompt[1].text(), "b");
  // Token ids equal the bytes.
  const auto byte = [](int32_t id) {
    return std::string(1, static_cast<char>(id));
  };
  const v1::TokenLogprob& echoed = answer.prompt[1].top_logprobs(0);
  EXPECT_EQ(echoed.bytes(), byte(echoed.id()));
  bool has_replacement = false;
  for (const v1::Token& token : answer.tokens) {
    EXPECT_EQ(token.bytes(), byte(token.id()));
    EXPECT_EQ(token.text(), token.id() < 128 ? token.bytes() : "\xef\xbf\xbd");
    has_replacement |= token.id() >= 128;
    for (const v1::TokenLogprob& top : token.top_logprobs()) {
      EXPECT_EQ(top.bytes(), byte(top.id()));
    }
    EXPECT_EQ(token.top_drawn_logprobs(0).bytes(),
              byte(token.top_drawn_logprobs(0).id()));
  }
  EXPECT_TRUE(has_replacement);
}

TEST(GenerateCallTest, StopTextEndsTheOutput) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(100);
  request.mutable_sampling()->add_allowed_tokens('x');
  request.add_stop_strings("y");
  request.add_stop_texts("xxx");
  const Answer answer = Generate(server, request);
  EXPECT_EQ(answer.finish.reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(answer.finish.stop_string(), "xxx");
  EXPECT_EQ(answer.finish.stop_text(), "xxx");
  EXPECT_EQ(answer.bytes, "");
}

TEST(GenerateCallTest, SendsLogprobsOnlyIfRequested) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(2);
  EXPECT_FALSE(Generate(server, request).tokens[0].has_logprob());
  request.set_top_logprobs(4);
  const Answer answer = Generate(server, request);
  ASSERT_EQ(answer.tokens.size(), 2u);
  EXPECT_TRUE(answer.tokens[0].has_logprob());
  ASSERT_EQ(answer.tokens[0].top_logprobs_size(), 4);
  EXPECT_GE(answer.tokens[0].top_logprobs(0).logprob(),
            answer.tokens[0].top_logprobs(1).logprob());
}

TEST(GenerateCallTest, EchoesThePromptWithLogprobsFirst) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(2);
  request.mutable_prompt()->set_text("abcd");
  EXPECT_TRUE(Generate(server, request).prompt.empty());
  request.set_echo_top_logprobs(2);
  // The second time the prompt is in the cache, but an echo computes it again.
  for (int i = 0; i < 2; ++i) {
    const Answer answer = Generate(server, request);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    ASSERT_EQ(answer.prompt.size(), 4u);
    EXPECT_EQ(answer.tokens.size(), 2u);
    EXPECT_FALSE(answer.prompt[0].has_logprob());
    for (int j = 0; j < 4; ++j) EXPECT_EQ(answer.prompt[j].id(), 'a' + j);
    EXPECT_EQ(answer.prompt[0].top_logprobs_size(), 0);
    for (int j = 1; j < 4; ++j) {
      EXPECT_LE(answer.prompt[j].logprob(), 0);
      EXPECT_EQ(answer.prompt[j].top_logprobs_size(), 2);
    }
    EXPECT_EQ(answer.finish.usage().cached_tokens(), 0);
  }
}

TEST(GenerateCallTest, LongEchoIsSplitIntoMessages) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(20000, 'a'));
  request.set_echo_top_logprobs(32);  // about 10 MiB
  EXPECT_EQ(Generate(server, request).prompt.size(), 20000u);
}

TEST(GenerateCallTest, ErrorNamesTheInvalidField) {
  TestServer server;
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_sampling()->set_temperature(
      std::numeric_limits<float>::quiet_NaN());
  const Answer answer = Generate(server, request);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("sampling.temperature"));
  EXPECT_FALSE(answer.has_finish);
}

TEST(GenerateCallTest, SlowReaderGetsLargerMessagesAndBlocksNoOtherCall) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest big = SimpleRequest(8000);
  big.set_top_logprobs(32);  // about 4 MiB, more than the connection buffers
  Client slow(server, big);
  // The client reads nothing, and the engine still completes this call and
  // others.
  EXPECT_TRUE(Generate(server, SimpleRequest(10)).status.ok());
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kLength) == 2; }));
  const Answer answer = slow.Finish();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.ids.size(), 8000u);
  EXPECT_EQ(answer.bytes, std::string(answer.ids.begin(), answer.ids.end()));
  EXPECT_TRUE(answer.has_finish);
  // The first tokens came in messages of their own, the buffered ones in larger
  // messages.
  EXPECT_GT(answer.largest_delta, 10);
}

TEST(GenerateCallTest, CallOfAReaderThatLeavesTooMuchUnreadEnds) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest huge = SimpleRequest(200'000);
  huge.set_top_logprobs(32);
  Client slow(server, huge);
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kCancelled) == 1; }));
  const Answer answer = slow.Finish();
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("reads too slowly"));
}

}  // namespace
}  // namespace rwkvd
