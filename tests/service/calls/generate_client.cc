// SPDX-License-Identifier: Apache-2.0
#include "tests/service/calls/generate_client.h"

#include <algorithm>
#include <chrono>

#include "cli/grpc_status.h"
#include "gtest/gtest.h"

namespace rwkvd {

Client::Client(const TestServer& server, const v1::GenerateRequest& request,
               absl::Duration timeout)
    : stub_(server.NewStub()) {
  if (timeout != absl::InfiniteDuration()) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          absl::ToChronoNanoseconds(timeout));
  }
  reader_ = stub_->Generate(&context_, request);
}

v1::Delta Client::ReadDelta() {
  v1::GenerateResponse response;
  EXPECT_TRUE(reader_->Read(&response));
  return response.delta();
}

Answer Client::Finish() {
  Answer answer;
  v1::GenerateResponse response;
  while (reader_->Read(&response)) {
    EXPECT_FALSE(answer.has_finish) << "something came after the finish";
    if (response.has_finish()) {
      answer.has_finish = true;
      answer.finish = response.finish();
      answer.bytes += response.finish().bytes();
      answer.text += response.finish().text();
      continue;
    }
    answer.largest_delta =
        std::max(answer.largest_delta, response.delta().tokens_size());
    EXPECT_TRUE(response.delta().prompt_tokens().empty() ||
                answer.tokens.empty());
    answer.prompt.insert(answer.prompt.end(),
                         response.delta().prompt_tokens().begin(),
                         response.delta().prompt_tokens().end());
    for (const v1::Token& token : response.delta().tokens()) {
      answer.tokens.push_back(token);
      answer.ids.push_back(token.id());
    }
    answer.bytes += response.delta().bytes();
    answer.text += response.delta().text();
  }
  answer.status = reader_->Finish();
  const auto& trailers = context_.GetServerTrailingMetadata();
  const auto pushback = trailers.find(kRetryPushback);
  if (pushback != trailers.end()) {
    answer.pushback.assign(pushback->second.data(), pushback->second.size());
  }
  return answer;
}

Answer Generate(const TestServer& server, const v1::GenerateRequest& request) {
  return Client(server, request).Finish();
}

}  // namespace rwkvd
