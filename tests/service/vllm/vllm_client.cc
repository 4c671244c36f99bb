// SPDX-License-Identifier: Apache-2.0
#include "tests/service/vllm/vllm_client.h"

#include "gtest/gtest.h"

namespace rwkvd {

VllmClient::VllmClient(const TestServer& server,
                       const vllm_pb::GenerateRequest& request,
                       const std::string& token)
    : stub_(vllm_pb::VllmEngine::NewStub(server.NewChannel())) {
  if (!token.empty()) AddToken(token, &context_);
  reader_ = stub_->Generate(&context_, request);
}

vllm_pb::GenerateResponse VllmClient::Read() {
  vllm_pb::GenerateResponse response;
  EXPECT_TRUE(reader_->Read(&response));
  return response;
}

VllmResult VllmClient::Finish() {
  VllmResult result;
  vllm_pb::GenerateResponse response;
  while (reader_->Read(&response)) {
    if (response.has_complete()) {
      VllmSample& sample = result.samples[response.complete().index()];
      EXPECT_EQ(sample.complete.finish_reason(), "") << "a second end";
      sample.complete = response.complete();
      continue;
    }
    VllmSample& sample = result.samples[response.chunk().index()];
    EXPECT_EQ(sample.complete.finish_reason(), "") << "came after the end";
    sample.chunks.push_back(response.chunk());
    for (const uint32_t id : response.chunk().token_ids()) {
      sample.chunk_ids.push_back(static_cast<int32_t>(id));
    }
  }
  result.status = reader_->Finish();
  return result;
}

VllmResult GenerateVllm(const TestServer& server,
                        const vllm_pb::GenerateRequest& request) {
  return VllmClient(server, request).Finish();
}

vllm_pb::GenerateRequest SimpleVllmRequest(uint32_t max_tokens, bool stream) {
  vllm_pb::GenerateRequest request;
  request.set_request_id("r");
  request.mutable_tokenized()->add_input_ids('a');
  request.mutable_sampling_params()->set_max_tokens(max_tokens);
  request.mutable_sampling_params()->set_seed(1);
  request.set_stream(stream);
  return request;
}

}  // namespace rwkvd
