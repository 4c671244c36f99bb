// SPDX-License-Identifier: Apache-2.0
// Generate calls with several samples.

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/calls/generate_client.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The answers to `n` samples, by the number of the sample.
std::map<int, Answer> GenerateSamples(const TestServer& server,
                                      const v1::GenerateRequest& request,
                                      grpc::Status* status,
                                      std::vector<int>* order = nullptr) {
  std::map<int, Answer> answers;
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    const int sample = response.has_finish() ? response.finish().sample()
                                             : response.delta().sample();
    Answer& answer = answers[sample];
    EXPECT_FALSE(answer.has_finish);
    for (const v1::Token& token : response.delta().tokens()) {
      answer.ids.push_back(token.id());
      answer.tokens.push_back(token);
    }
    if (response.has_finish()) {
      answer.has_finish = true;
      answer.finish = response.finish();
      if (order != nullptr) order->push_back(sample);
    }
  }
  *status = reader->Finish();
  return answers;
}

TEST(GenerateCallSamplesTest, SampleEqualsARequestWithItsSeed) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(30);
  request.set_n(5);
  grpc::Status status;
  const std::map<int, Answer> samples =
      GenerateSamples(server, request, &status);
  EXPECT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(samples.size(), 5u);
  request.clear_n();
  for (const auto& [sample, answer] : samples) {
    ASSERT_TRUE(answer.has_finish);
    EXPECT_EQ(answer.finish.seed(), 1u + sample);
    EXPECT_FALSE(answer.finish.has_logprob_sum());
    EXPECT_FALSE(answer.tokens[0].has_logprob());
    request.mutable_sampling()->set_seed(1 + sample);
    EXPECT_EQ(answer.ids, Generate(server, request).ids);
  }
}

TEST(GenerateCallSamplesTest, BestSamplesAreReturnedInOrder) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(20);
  request.set_logprobs(true);
  request.set_n(8);
  grpc::Status status;
  std::vector<std::pair<double, int>> sums;
  for (const auto& [sample, answer] :
       GenerateSamples(server, request, &status)) {
    double sum = 0;
    for (const v1::Token& token : answer.tokens) sum += token.logprob();
    EXPECT_EQ(answer.finish.logprob_sum(), sum);
    sums.push_back({-sum, sample});
  }
  ASSERT_EQ(sums.size(), 8u);
  std::sort(sums.begin(), sums.end());

  request.set_logprobs(false);
  request.set_n(3);
  request.set_best_of(8);
  std::vector<int> order;
  const std::map<int, Answer> best =
      GenerateSamples(server, request, &status, &order);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(order,
              ElementsAre(sums[0].second, sums[1].second, sums[2].second));
  for (int i = 0; i < 3; ++i) {
    const Answer& answer = best.at(sums[i].second);
    EXPECT_EQ(answer.ids.size(), 20u);
    EXPECT_EQ(answer.finish.logprob_sum(), -sums[i].first);
    EXPECT_FALSE(answer.tokens[0].has_logprob());
  }
}

TEST(GenerateCallSamplesTest, EachSampleNeedsASlot) {
  Options options;
  options.engine.max_running = 2;
  options.engine.max_queued = 1;
  TestServer server(options);
  v1::GenerateRequest request = SimpleRequest(3);
  request.set_n(3);
  EXPECT_THAT(Generate(server, request).status.error_message(),
              HasSubstr("n: 3 is not in [1, 2]"));
  request.set_n(2);
  Client first(server, request);
  server.gate().WaitForArrivals(1);
  // The queue has room for one sample, not for two.
  EXPECT_EQ(Generate(server, request).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  Client second(server, SimpleRequest(3));
  server.gate().Open();
  EXPECT_EQ(second.Finish().ids.size(), 3u);
}

TEST(GenerateCallSamplesTest, CancelingEndsEverySample) {
  TestServer server;
  v1::GenerateRequest request = SimpleRequest(1 << 20);
  request.set_n(3);
  Client client(server, request);
  server.gate().WaitForArrivals(1);
  client.Cancel();
  EXPECT_TRUE(Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 3;
  }));
  client.Finish();
}

TEST(GenerateCallSamplesTest, SamplesEchoThePromptOnce) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(3);
  request.mutable_prompt()->set_text("abcd");
  request.set_echo(true);
  request.set_n(3);
  v1::GenerateRequest best = request;
  best.set_best_of(4);
  EXPECT_EQ(Generate(server, best).status.error_message(),
            "echo: not together with best_of");
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  int prompt_tokens = 0;
  while (reader->Read(&response)) {
    prompt_tokens += response.delta().prompt_tokens_size();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(prompt_tokens, 4);
}

}  // namespace
}  // namespace rwkvd
