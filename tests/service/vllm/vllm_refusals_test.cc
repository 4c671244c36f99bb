// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"
#include "tests/service/vllm/vllm_client.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class VllmRefusalsTest : public testing::Test {
 protected:
  VllmRefusalsTest() { server_.gate().Open(); }

  // The error for a request that is changed like this.
  std::string Refusal(
      const std::function<void(vllm_pb::GenerateRequest&)>& change) {
    vllm_pb::GenerateRequest request = SimpleVllmRequest(5);
    change(request);
    const grpc::Status status = GenerateVllm(server_, request).status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  }
  std::string RefusalOfParams(
      const std::function<void(vllm_pb::SamplingParams&)>& change) {
    return Refusal([&](vllm_pb::GenerateRequest& request) {
      change(*request.mutable_sampling_params());
    });
  }

  TestServer server_;
};

TEST_F(VllmRefusalsTest, FieldsThatAreNotSupportedAreNamed) {
  using Request = vllm_pb::GenerateRequest;
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_mm_inputs(); }),
              StartsWith("mm_inputs: is not supported"));
  EXPECT_THAT(Refusal([](Request& r) { r.add_extra_mm_inputs(); }),
              StartsWith("extra_mm_inputs: "));
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_media_refs(); }),
              StartsWith("media_refs: "));
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_kv_transfer_params(); }),
              StartsWith("kv_transfer_params: "));
  EXPECT_THAT(Refusal([](Request& r) { r.set_kv_transfer_params_json("{}"); }),
              StartsWith("kv_transfer_params_json: "));
  EXPECT_THAT(Refusal([](Request& r) { r.set_data_parallel_rank(1); }),
              StartsWith("data_parallel_rank: "));
}

TEST_F(VllmRefusalsTest, ConstraintsAreNamed) {
  using Params = vllm_pb::SamplingParams;
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_json_schema("{}"); }),
              StartsWith("sampling_params.json_schema: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_regex("a"); }),
              StartsWith("sampling_params.regex: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_grammar("a"); }),
              StartsWith("sampling_params.grammar: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_structural_tag("a"); }),
              StartsWith("sampling_params.structural_tag: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_json_object(true); }),
              StartsWith("sampling_params.json_object: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.mutable_choice(); }),
              StartsWith("sampling_params.choice: "));
}

TEST_F(VllmRefusalsTest, FieldsOfALaterVersionAreRefused) {
  const auto add = [](google::protobuf::Message* message, int number) {
    message->GetReflection()->MutableUnknownFields(message)->AddVarint(number,
                                                                       1);
  };
  EXPECT_THAT(Refusal([&](vllm_pb::GenerateRequest& r) { add(&r, 99); }),
              StartsWith("field 99: "));
  EXPECT_THAT(RefusalOfParams([&](vllm_pb::SamplingParams& p) { add(&p, 98); }),
              StartsWith("sampling_params.field 98: "));
}

TEST_F(VllmRefusalsTest, ValuesOutOfRangeHaveTheNamesOfTheProtocol) {
  using Params = vllm_pb::SamplingParams;
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_temperature(-1); }),
              StartsWith("sampling_params.temperature: -1 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_top_p(2); }),
              StartsWith("sampling_params.top_p: 2 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_n(1000); }),
              StartsWith("sampling_params.n: 1000 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_logprobs(-1); }),
              StartsWith("sampling_params.logprobs: -1 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_prompt_logprobs(100); }),
              StartsWith("sampling_params.prompt_logprobs: 100 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_min_tokens(6); }),
              StartsWith("sampling_params.min_tokens: 6 is not in [0, 5]"));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.set_max_tokens(~0u); }),
              StartsWith("sampling_params.max_tokens: 4294967295 "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.add_stop(""); }),
              StartsWith("sampling_params.stop[0]: "));
  EXPECT_THAT(RefusalOfParams([](Params& p) { p.add_stop_token_ids(256); }),
              StartsWith("sampling_params.stop_token_ids[0]: "));
  EXPECT_THAT(
      RefusalOfParams([](Params& p) { (*p.mutable_logit_bias())[300] = 1; }),
      StartsWith("sampling_params.logit_bias"));
  EXPECT_THAT(
      RefusalOfParams([](Params& p) { p.set_truncate_prompt_tokens(0); }),
      StartsWith("sampling_params.truncate_prompt_tokens: 0 "));
}

TEST_F(VllmRefusalsTest, LongListsAreRefused) {
  using Params = vllm_pb::SamplingParams;
  EXPECT_THAT(RefusalOfParams([](Params& p) {
                for (int i = 0; i < 257; ++i) p.add_stop_token_ids(1);
              }),
              StartsWith("sampling_params.stop_token_ids: has 257 entries"));
  EXPECT_THAT(RefusalOfParams([](Params& p) {
                for (int i = 0; i <= 65536; ++i) (*p.mutable_logit_bias())[i];
              }),
              StartsWith("sampling_params.logit_bias: has 65537 entries"));
}

TEST_F(VllmRefusalsTest, PromptTokensThatDoNotExistAreNamed) {
  using Request = vllm_pb::GenerateRequest;
  EXPECT_THAT(
      Refusal([](Request& r) { r.mutable_tokenized()->add_input_ids(256); }),
      StartsWith("tokenized.input_ids[1]: token 256 "));
  EXPECT_THAT(
      Refusal([](Request& r) { r.mutable_tokenized()->add_input_ids(~0u); }),
      StartsWith("tokenized.input_ids[1]: 4294967295 "));
  EXPECT_THAT(
      Refusal([](Request& r) { r.set_request_id(std::string(257, 'r')); }),
      StartsWith("request_id: has 257 bytes"));
}

TEST_F(VllmRefusalsTest, PenaltiesWithDifferentScopesExcludeOneAnother) {
  const std::string refusal = RefusalOfParams([](vllm_pb::SamplingParams& p) {
    p.set_repetition_penalty(1.1f);
    p.set_presence_penalty(0.1f);
  });
  EXPECT_THAT(refusal, StartsWith("sampling_params.repetition_penalty: "));
}

TEST_F(VllmRefusalsTest, AnswerThatMayBecomeTooLargeMustBeStreamed) {
  const std::string refusal = Refusal([](vllm_pb::GenerateRequest& r) {
    r.set_stream(false);
    r.mutable_sampling_params()->set_max_tokens(1000000);
    r.mutable_sampling_params()->set_logprobs(5);
  });
  EXPECT_THAT(refusal, StartsWith("stream: "));
  EXPECT_THAT(refusal, HasSubstr("more than the 4194304 that clients accept"));
}

TEST_F(VllmRefusalsTest, AnswerThatExceedsTheMemoryMustBeStreamed) {
  Options options;
  options.response_memory_bytes = 2 << 20;
  TestServer server(options);
  server.gate().Open();
  vllm_pb::GenerateRequest request = SimpleVllmRequest(100000, false);
  const grpc::Status status = GenerateVllm(server, request).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("stream: "));
  EXPECT_THAT(status.error_message(), HasSubstr("of memory"));
  request.mutable_sampling_params()->set_max_tokens(10);
  EXPECT_TRUE(GenerateVllm(server, request).status.ok());
}

TEST_F(VllmRefusalsTest, WrongValuesAreNamedBeforeTheSizeOfTheAnswer) {
  const auto refusal =
      [this](const std::function<void(vllm_pb::SamplingParams&)>& change) {
        return Refusal([&](vllm_pb::GenerateRequest& request) {
          request.set_stream(false);
          change(*request.mutable_sampling_params());
        });
      };
  using Params = vllm_pb::SamplingParams;
  EXPECT_THAT(refusal([](Params& p) { p.set_n(~0u); }),
              StartsWith("sampling_params.n: 4294967295 "));
  EXPECT_THAT(refusal([](Params& p) { p.set_max_tokens(~0u); }),
              StartsWith("sampling_params.max_tokens: 4294967295 "));
  EXPECT_THAT(refusal([](Params& p) { p.set_logprobs(2000000000); }),
              StartsWith("sampling_params.logprobs: 2000000000 "));
  EXPECT_THAT(refusal([](Params& p) { p.set_prompt_logprobs(2000000000); }),
              StartsWith("sampling_params.prompt_logprobs: 2000000000 "));
}

TEST_F(VllmRefusalsTest, NeutralValuesAreAccepted) {
  vllm_pb::GenerateRequest request = SimpleVllmRequest(2);
  request.set_data_parallel_rank(0);
  vllm_pb::SamplingParams& params = *request.mutable_sampling_params();
  params.set_repetition_penalty(1);
  params.set_presence_penalty(0.1f);
  params.set_top_p(1);
  params.set_skip_special_tokens(true);
  params.set_json_object(false);
  params.set_ignore_eos(true);
  params.set_include_stop_str_in_output(true);
  EXPECT_TRUE(GenerateVllm(server_, request).status.ok());
}

}  // namespace
}  // namespace rwkvd
