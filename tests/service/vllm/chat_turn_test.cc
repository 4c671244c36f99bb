// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/chat_turn.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/engine/request.h"
#include "core/text/chat/chat_template.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/convert/request_limits.h"
#include "tests/service/test_server.h"
#include "tests/service/vllm/vllm_client.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A request with the bytes of `prompt` as its tokens.
GenerateRequest RequestOf(const std::string& prompt) {
  GenerateRequest request;
  request.prompt.assign(prompt.begin(), prompt.end());
  return request;
}

// The greedy output for this request is "x\nBob:". Each token of it has a bias,
// which is divided by 4 once the token has occurred, as the colon has in the
// prompt. The fake model adds [-4, 4).
vllm_pb::GenerateRequest RequestThatEndsLikeATurn(bool stream) {
  vllm_pb::GenerateRequest request = SimpleVllmRequest(20, stream);
  request.set_text("Alice:");
  vllm_pb::SamplingParams& params = *request.mutable_sampling_params();
  params.set_temperature(0);
  params.set_repetition_penalty(4);
  float bias = 92;
  for (const char c : std::string("x\nBob")) {
    (*params.mutable_logit_bias())[c] = bias;
    bias -= 9;
  }
  (*params.mutable_logit_bias())[':'] = 100;
  return request;
}

TEST(ChatTurn, AnswerEndsAtTheStopsOfTheTemplate) {
  TestServer server;
  const RequestLimits limits = LimitsOf(server.model());
  GenerateRequest request = RequestOf("User: Hi\n\nAssistant:");
  EXPECT_THAT(PrepareChatTurn(limits, &request), ElementsAre("\n\nUser:"));
  EXPECT_THAT(request.stop_strings, ElementsAre("\n\nUser:"));
  EXPECT_EQ(request.save_point, 0);
  // The client has asked for it, and gets its tokens.
  EXPECT_THAT(PrepareChatTurn(limits, &request), IsEmpty());
  EXPECT_THAT(request.stop_strings, SizeIs(1));
}

TEST(ChatTurn, StopsOfTheTemplateDoNotCountAsTheClients) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(2);
  request.set_text("User: Hi\n\nAssistant:");
  vllm_pb::SamplingParams& params = *request.mutable_sampling_params();
  for (int i = 0; i < kMaxStopStrings; ++i) {
    params.add_stop(absl::StrCat("stop ", i));
  }
  const VllmResult result = GenerateVllm(server, request);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  params.add_stop("one more");
  EXPECT_EQ(GenerateVllm(server, request).status.error_message(),
            "sampling_params.stop: has 17 strings, must have 0 to 16");
}

TEST(ChatTurn, StateBeforeAThoughtIsKept) {
  TestServer server;
  GenerateRequest request = RequestOf("User: Hi\n\nAssistant: <think");
  PrepareChatTurn(LimitsOf(server.model()), &request);
  EXPECT_EQ(request.save_point, 10);
}

TEST(ChatTurn, OtherPromptsAreNotChanged) {
  TestServer server;
  const RequestLimits limits = LimitsOf(server.model());
  for (const char* const prompt : {"", "In the beginning", "Assistant: Yes"}) {
    GenerateRequest request = RequestOf(prompt);
    EXPECT_THAT(PrepareChatTurn(limits, &request), IsEmpty());
    EXPECT_THAT(request.stop_strings, IsEmpty());
  }
}

TEST(ChatTurn, OnlyTheTemplateOfTheModelCounts) {
  TestServer server;
  server.model().chat_template = *FindChatTemplate("world");
  const RequestLimits limits = LimitsOf(server.model());
  GenerateRequest request = RequestOf("Bob: Hi\n\nAlice:");
  EXPECT_THAT(PrepareChatTurn(limits, &request), IsEmpty());
  request = RequestOf("User: Hi\n\nAssistant:");
  EXPECT_THAT(PrepareChatTurn(limits, &request), SizeIs(1));
}

TEST(ChatTurn, RequestThatIgnoresTheEndGoesOn) {
  TestServer server;
  GenerateRequest request = RequestOf("User: Hi\n\nAssistant:");
  request.ignore_end_of_text = true;
  EXPECT_THAT(PrepareChatTurn(LimitsOf(server.model()), &request), IsEmpty());
  EXPECT_THAT(request.stop_strings, IsEmpty());
}

TEST(ChatTurn, TokensOfTheStopAreNotSent) {
  TestServer server;
  server.gate().Open();
  for (const bool stream : {true, false}) {
    vllm_pb::GenerateRequest request = RequestThatEndsLikeATurn(stream);
    request.mutable_sampling_params()->set_logprobs(1);
    const VllmResult result = GenerateVllm(server, request);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    const VllmSample& sample = result.samples.at(0);
    const vllm_pb::GenerateComplete& complete = sample.complete;
    if (stream) {
      EXPECT_THAT(sample.chunk_ids, ElementsAre('x'));
      ASSERT_EQ(sample.chunks.size(), 1u);
      EXPECT_EQ(sample.chunks[0].output_logprobs().token_ids_size(), 1);
    } else {
      EXPECT_THAT(complete.output_ids(), ElementsAre(uint32_t{'x'}));
      EXPECT_EQ(complete.output_logprobs().token_ids_size(), 1);
    }
    EXPECT_EQ(complete.finish_reason(), "stop");
    EXPECT_FALSE(complete.has_matched_stop_str());
    EXPECT_EQ(complete.completion_tokens(), 6u);
  }
}

TEST(ChatTurn, TokensOfAStopOfTheClientAreSent) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = RequestThatEndsLikeATurn(true);
  request.mutable_sampling_params()->add_stop("\nBob:");
  const VllmResult result = GenerateVllm(server, request);
  const VllmSample& sample = result.samples.at(0);
  EXPECT_THAT(sample.chunk_ids, ElementsAre('x', '\n', 'B', 'o', 'b', ':'));
  EXPECT_EQ(sample.complete.matched_stop_str(), "\nBob:");
}

TEST(ChatTurn, OutputThatIsCutWithinAStopIsSent) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = RequestThatEndsLikeATurn(true);
  request.mutable_sampling_params()->set_max_tokens(4);
  const VllmResult result = GenerateVllm(server, request);
  const VllmSample& sample = result.samples.at(0);
  EXPECT_THAT(sample.chunk_ids, ElementsAre('x', '\n', 'B', 'o'));
  EXPECT_EQ(sample.complete.finish_reason(), "length");
}

}  // namespace
}  // namespace rwkvd
