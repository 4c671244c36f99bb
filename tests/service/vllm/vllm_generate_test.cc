// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/monotonic_clock.h"
#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"
#include "tests/service/vllm/vllm_client.h"

namespace rwkvd {
namespace {

using ::testing::Contains;
using ::testing::ElementsAreArray;
using ::testing::Not;

std::vector<int32_t> OutputIds(const VllmSample& sample) {
  return {sample.complete.output_ids().begin(),
          sample.complete.output_ids().end()};
}

// The requests that the engine has accepted and not ended.
int64_t NumRequests(TestServer& server) {
  const EngineLoad load = server.engine().Load(MonotonicNow());
  return load.running + load.queued;
}

TEST(VllmGenerateTest, SamplesTheTokensOfTheNativeCall) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest native = SimpleRequest(30);
  native.mutable_sampling()->set_order(v1::SAMPLER_ORDER_TEMPERATURE_FIRST);
  native.mutable_sampling()->set_temperature(0.9f);
  native.mutable_sampling()->set_top_p(0.8f);
  native.mutable_sampling()->set_top_k(50);
  native.mutable_sampling()->set_presence_penalty(0.5f);
  v1::LogitBias* const bias = native.mutable_sampling()->add_logit_bias();
  bias->set_id('x');
  bias->set_bias(2);
  const Answer expected = Generate(server, native);
  ASSERT_EQ(expected.ids.size(), 30u);
  for (const bool stream : {true, false}) {
    vllm_pb::GenerateRequest request = SimpleVllmRequest(30, stream);
    vllm_pb::SamplingParams& params = *request.mutable_sampling_params();
    params.set_temperature(0.9f);
    params.set_top_p(0.8f);
    params.set_top_k(50);
    params.set_presence_penalty(0.5f);
    (*params.mutable_logit_bias())['x'] = 2;
    const VllmResult result = GenerateVllm(server, request);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    const VllmSample& sample = result.samples.at(0);
    EXPECT_EQ(stream ? sample.chunk_ids : OutputIds(sample), expected.ids);
    EXPECT_EQ(sample.chunks.empty(), !stream);
    EXPECT_EQ(sample.complete.finish_reason(), "length");
    EXPECT_EQ(sample.complete.prompt_tokens(), 1u);
    EXPECT_EQ(sample.complete.completion_tokens(), 30u);
  }
}

TEST(VllmGenerateTest, TakesTextAsPrompt) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(5);
  const VllmResult expected = GenerateVllm(server, request);
  request.set_text("a");
  EXPECT_EQ(GenerateVllm(server, request).samples.at(0).chunk_ids,
            expected.samples.at(0).chunk_ids);
}

TEST(VllmGenerateTest, SamplesHaveTheTokensOfTheirSeeds) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(10);
  request.mutable_sampling_params()->set_n(3);
  const VllmResult result = GenerateVllm(server, request);
  ASSERT_EQ(result.samples.size(), 3u);
  request.mutable_sampling_params()->set_n(0);
  for (const auto& [index, sample] : result.samples) {
    request.mutable_sampling_params()->set_seed(1 + static_cast<int>(index));
    EXPECT_EQ(GenerateVllm(server, request).samples.at(0).chunk_ids,
              sample.chunk_ids);
  }
}

TEST(VllmGenerateTest, CountsTheTokensOfEachChunk) {
  TestServer server;
  VllmClient client(server, SimpleVllmRequest(3));
  server.gate().Permit(1);
  // The first token arrives although the second step cannot run.
  const vllm_pb::GenerateResponse first = client.Read();
  EXPECT_EQ(first.chunk().token_ids_size(), 1);
  EXPECT_EQ(first.chunk().completion_tokens(), 1u);
  EXPECT_EQ(first.chunk().prompt_tokens(), 1u);
  server.gate().Open();
  uint32_t rest = 0;
  const VllmResult result = client.Finish();
  for (const auto& chunk : result.samples.at(0).chunks) {
    rest += chunk.completion_tokens();
  }
  EXPECT_EQ(rest, 2u);
}

TEST(VllmGenerateTest, StopTokenEndsTheOutputAndIsReported) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(100);
  request.mutable_sampling_params()->set_temperature(0);
  (*request.mutable_sampling_params()->mutable_logit_bias())['x'] = 100;
  request.mutable_sampling_params()->add_stop_token_ids('x');
  const VllmResult result = GenerateVllm(server, request);
  const VllmSample& sample = result.samples.at(0);
  EXPECT_EQ(sample.complete.finish_reason(), "stop");
  EXPECT_EQ(sample.complete.matched_token_id(), uint32_t{'x'});
  EXPECT_EQ(sample.chunk_ids, std::vector<int32_t>{'x'});
}

TEST(VllmGenerateTest, StopStringEndsTheOutputAndIsReported) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(100, false);
  request.mutable_sampling_params()->set_temperature(0);
  (*request.mutable_sampling_params()->mutable_logit_bias())['x'] = 100;
  request.mutable_sampling_params()->add_stop("xxx");
  const VllmResult result = GenerateVllm(server, request);
  const VllmSample& sample = result.samples.at(0);
  EXPECT_EQ(sample.complete.finish_reason(), "stop");
  EXPECT_EQ(sample.complete.matched_stop_str(), "xxx");
  EXPECT_EQ(OutputIds(sample), (std::vector<int32_t>{'x', 'x', 'x'}));
}

TEST(VllmGenerateTest, MinTokensPostponesStopTokens) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(100);
  request.mutable_sampling_params()->set_temperature(0);
  (*request.mutable_sampling_params()->mutable_logit_bias())['x'] = 100;
  request.mutable_sampling_params()->add_stop_token_ids('x');
  request.mutable_sampling_params()->set_min_tokens(4);
  std::vector<int32_t> ids =
      GenerateVllm(server, request).samples.at(0).chunk_ids;
  ASSERT_EQ(ids.size(), 5u);
  EXPECT_EQ(ids.back(), 'x');
  ids.pop_back();
  EXPECT_THAT(ids, Not(Contains('x')));
}

TEST(VllmGenerateTest, SendsLogprobsOfTheOutput) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest native = SimpleRequest(4);
  native.set_top_logprobs(2);
  const Answer expected = Generate(server, native);
  for (const bool stream : {true, false}) {
    vllm_pb::GenerateRequest request = SimpleVllmRequest(4, stream);
    request.mutable_sampling_params()->set_logprobs(2);
    const VllmResult result = GenerateVllm(server, request);
    vllm_pb::OutputLogProbs logprobs;
    for (const auto& chunk : result.samples.at(0).chunks) {
      logprobs.MergeFrom(chunk.output_logprobs());
    }
    if (!stream) logprobs = result.samples.at(0).complete.output_logprobs();
    ASSERT_EQ(logprobs.token_logprobs_size(), 4);
    ASSERT_EQ(logprobs.top_logprobs_size(), 4);
    for (int i = 0; i < 4; ++i) {
      const v1::Token& token = expected.tokens[i];
      EXPECT_EQ(logprobs.token_ids(i), static_cast<uint32_t>(token.id()));
      EXPECT_FLOAT_EQ(logprobs.token_logprobs(i),
                      static_cast<float>(token.logprob()));
      ASSERT_EQ(logprobs.top_logprobs(i).token_ids_size(), 2);
      EXPECT_EQ(logprobs.top_logprobs(i).token_ids(0),
                static_cast<uint32_t>(token.top_logprobs(0).id()));
    }
  }
}

TEST(VllmGenerateTest, SendsLogprobsOfThePromptInTheFirstChunk) {
  TestServer server;
  server.gate().Open();
  for (const bool stream : {true, false}) {
    vllm_pb::GenerateRequest request = SimpleVllmRequest(2, stream);
    request.mutable_tokenized()->add_input_ids('b');
    request.mutable_sampling_params()->set_prompt_logprobs(1);
    const VllmResult result = GenerateVllm(server, request);
    const VllmSample& sample = result.samples.at(0);
    const vllm_pb::InputLogProbs& logprobs =
        stream ? sample.chunks.at(0).input_logprobs()
               : sample.complete.input_logprobs();
    ASSERT_EQ(logprobs.token_ids_size(), 2);
    EXPECT_EQ(logprobs.token_ids(1), uint32_t{'b'});
    EXPECT_FALSE(logprobs.token_logprobs(0).has_value());
    EXPECT_LT(logprobs.token_logprobs(1).value(), 0);
    ASSERT_EQ(logprobs.top_logprobs_size(), 2);
    EXPECT_EQ(logprobs.top_logprobs(0).token_ids_size(), 0);
    EXPECT_EQ(logprobs.top_logprobs(1).token_ids_size(), 1);
    if (stream) {
      EXPECT_GT(sample.chunks[0].token_ids_size(), 0);
    }
  }
}

TEST(VllmGenerateTest, TruncatesThePromptAtItsBeginning) {
  TestServer server;
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(5);
  const VllmResult expected = GenerateVllm(server, request);
  request.mutable_tokenized()->clear_input_ids();
  for (const char c : {'z', 'y', 'a'}) {
    request.mutable_tokenized()->add_input_ids(static_cast<uint32_t>(c));
  }
  request.mutable_sampling_params()->set_truncate_prompt_tokens(1);
  const VllmResult result = GenerateVllm(server, request);
  EXPECT_THAT(result.samples.at(0).chunk_ids,
              ElementsAreArray(expected.samples.at(0).chunk_ids));
  EXPECT_EQ(result.samples.at(0).complete.prompt_tokens(), 1u);
}

TEST(VllmGenerateTest, AbortEndsARequestWithOk) {
  TestServer server;
  VllmClient client(server, SimpleVllmRequest(1000));
  server.gate().Permit(1);
  client.Read();
  const auto stub = vllm_pb::VllmEngine::NewStub(server.NewChannel());
  grpc::ClientContext context;
  vllm_pb::AbortRequest abort;
  abort.add_request_ids("unknown");
  abort.add_request_ids("r");
  vllm_pb::AbortResponse response;
  ASSERT_TRUE(stub->Abort(&context, abort, &response).ok());
  server.gate().Open();
  const VllmResult result = client.Finish();
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.samples.at(0).complete.finish_reason(), "abort");
  EXPECT_LT(result.samples.at(0).complete.completion_tokens(), 1000u);
}

TEST(VllmGenerateTest, AbortOfManyIdsIsRefused) {
  TestServer server;
  VllmClient client(server, SimpleVllmRequest(1000));
  server.gate().Permit(1);
  client.Read();
  const auto stub = vllm_pb::VllmEngine::NewStub(server.NewChannel());
  vllm_pb::AbortRequest abort;
  // Equal ids count: a message of any size would else keep a thread busy.
  for (int i = 0; i <= 10000; ++i) abort.add_request_ids("r");
  vllm_pb::AbortResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub->Abort(&context, abort, &response);
  EXPECT_EQ(status.error_message(),
            "request_ids: has 10001 ids, must have 0 to 10000");
  abort.mutable_request_ids()->RemoveLast();
  grpc::ClientContext other_context;
  EXPECT_TRUE(stub->Abort(&other_context, abort, &response).ok());
  server.gate().Open();
  EXPECT_EQ(client.Finish().samples.at(0).complete.finish_reason(), "abort");
}

TEST(VllmGenerateTest, AbortEndsAllCallsOfAnId) {
  TestServer server;
  VllmClient first(server, SimpleVllmRequest(1000));
  VllmClient second(server, SimpleVllmRequest(1000));
  ASSERT_TRUE(Eventually([&] { return NumRequests(server) == 2; }));
  vllm_pb::GenerateRequest other = SimpleVllmRequest(3);
  other.set_request_id("s");
  VllmClient third(server, other);
  ASSERT_TRUE(Eventually([&] { return NumRequests(server) == 3; }));
  const auto stub = vllm_pb::VllmEngine::NewStub(server.NewChannel());
  vllm_pb::AbortRequest abort;
  abort.add_request_ids("r");
  vllm_pb::AbortResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->Abort(&context, abort, &response).ok());
  server.gate().Open();
  EXPECT_EQ(first.Finish().samples.at(0).complete.finish_reason(), "abort");
  EXPECT_EQ(second.Finish().samples.at(0).complete.finish_reason(), "abort");
  EXPECT_EQ(third.Finish().samples.at(0).complete.finish_reason(), "length");
}

TEST(VllmGenerateTest, AbortEndsNoCallsOfAnotherIdentity) {
  Options options;
  options.auth_tokens = WriteTokenFile(absl::StrCat(
      TokenLine("a", "a", "roles=infer"), TokenLine("b", "b", "roles=infer")));
  TestServer server(options);
  VllmClient client(server, SimpleVllmRequest(20), "a");
  server.gate().Permit(1);
  client.Read();
  const auto stub = vllm_pb::VllmEngine::NewStub(server.NewChannel());
  vllm_pb::AbortRequest abort;
  abort.add_request_ids("r");
  vllm_pb::AbortResponse response;
  grpc::ClientContext context;
  AddToken("b", &context);
  ASSERT_TRUE(stub->Abort(&context, abort, &response).ok());
  server.gate().Open();
  EXPECT_EQ(client.Finish().samples.at(0).complete.finish_reason(), "length");
}

TEST(VllmGenerateTest, AbortedIdCanBeUsedAgain) {
  TestServer server;
  server.gate().Open();
  EXPECT_TRUE(GenerateVllm(server, SimpleVllmRequest(2)).status.ok());
  const VllmResult again = GenerateVllm(server, SimpleVllmRequest(2));
  EXPECT_EQ(again.samples.at(0).complete.finish_reason(), "length");
}

TEST(VllmGenerateTest, RequestThatTheEndOfTheServerCutsHasNoResult) {
  Options options;
  options.drain_grace = absl::ZeroDuration();
  TestServer server(options);
  VllmClient streaming(server, SimpleVllmRequest(1 << 20));
  server.gate().Permit(1);
  streaming.Read();
  // Gateways repeat it if they have received nothing.
  VllmClient waiting(server, SimpleVllmRequest(100'000, /*stream=*/false));
  ASSERT_TRUE(Eventually([&] { return NumRequests(server) == 2; }));
  server.server().Drain();
  server.gate().Open();
  for (VllmClient* const client : {&streaming, &waiting}) {
    const VllmResult result = client->Finish();
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    for (const auto& [index, sample] : result.samples) {
      EXPECT_EQ(sample.complete.finish_reason(), "");
    }
  }
}

TEST(VllmGenerateTest, ClientThatLeavesFreesItsSlot) {
  TestServer server;
  VllmClient client(server, SimpleVllmRequest(1000000));
  server.gate().Permit(1);
  client.Read();
  client.Cancel();
  server.gate().Open();
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kCancelled) == 1; }));
}

}  // namespace
}  // namespace rwkvd
