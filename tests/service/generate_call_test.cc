// SPDX-License-Identifier: Apache-2.0
#include "service/generate_call.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/admission.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One Generate call and what came of it.
struct Answer {
  std::vector<int32_t> ids;
  std::vector<v1::Token> prompt;
  std::vector<v1::Token> tokens;
  std::string bytes;
  std::string text;
  int largest_delta = 0;  // in tokens
  bool has_finish = false;
  v1::Finish finish;
  grpc::Status status;
  std::string pushback;  // when to try again, in milliseconds
};

// A call under way.
class Client {
 public:
  Client(const TestServer& server, const v1::GenerateRequest& request,
         absl::Duration timeout = absl::InfiniteDuration())
      : stub_(server.NewStub()) {
    if (timeout != absl::InfiniteDuration()) {
      context_.set_deadline(std::chrono::system_clock::now() +
                            absl::ToChronoNanoseconds(timeout));
    }
    reader_ = stub_->Generate(&context_, request);
  }

  void Cancel() { context_.TryCancel(); }

  v1::Delta ReadDelta() {
    v1::GenerateResponse response;
    EXPECT_TRUE(reader_->Read(&response));
    return response.delta();
  }

  // Reads to the end.
  Answer Finish() {
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

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::RwkvService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
};

Answer Generate(const TestServer& server, const v1::GenerateRequest& request) {
  return Client(server, request).Finish();
}

Options OneAtATime(int max_queued) {
  Options options;
  options.engine.max_running = 1;
  options.engine.max_queued = max_queued;
  return options;
}

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
  // Token ids are the bytes.
  EXPECT_EQ(answer.bytes, std::string(answer.ids.begin(), answer.ids.end()));
}

TEST(GenerateCallTest, SendsEachTokenWithoutWaitingForTheNext) {
  TestServer server;
  Client client(server, SimpleRequest(3));
  server.gate().Permit(1);
  // The second step is held back, and still the first token is there.
  EXPECT_EQ(client.ReadDelta().tokens_size(), 1);
  server.gate().Open();
  EXPECT_EQ(client.Finish().ids.size(), 2u);
}

TEST(GenerateCallTest, TheSeedOfTheFinishRepeatsTheAnswer) {
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

TEST(GenerateCallTest, LogprobsComeOnlyIfAskedFor) {
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

// The answers to `n` samples, by their numbers.
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

TEST(GenerateCallTest, SamplesAreRequestsWithSeedsOfTheirOwn) {
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

TEST(GenerateCallTest, TheBestOfManySamplesComeInTheirOrder) {
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

TEST(GenerateCallTest, SamplesWaitForPlacesAsRequestsDo) {
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
  // One could wait, two cannot.
  EXPECT_EQ(Generate(server, request).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  Client second(server, SimpleRequest(3));
  server.gate().Open();
  EXPECT_EQ(second.Finish().ids.size(), 3u);
}

TEST(GenerateCallTest, CancellingEndsEverySample) {
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

TEST(GenerateCallTest, EchoesThePromptWithItsLogprobsFirst) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(2);
  request.mutable_prompt()->set_text("abcd");
  EXPECT_TRUE(Generate(server, request).prompt.empty());
  request.set_echo_top_logprobs(2);
  // The second time the cache knows the prompt; it is read all the same.
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

TEST(GenerateCallTest, ALongEchoComesInBoundedMessages) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(20000, 'a'));
  request.set_echo_top_logprobs(32);  // some 10 MiB
  EXPECT_EQ(Generate(server, request).prompt.size(), 20000u);
}

TEST(GenerateCallTest, SamplesEchoTheirPromptOnce) {
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

TEST(GenerateCallTest, BadFieldsAreNamed) {
  TestServer server;
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_sampling()->set_temperature(
      std::numeric_limits<float>::quiet_NaN());
  const Answer answer = Generate(server, request);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("sampling.temperature"));
  EXPECT_FALSE(answer.has_finish);
}

TEST(GenerateCallTest, ASlowReaderGetsLargerMessagesAndHoldsUpNobody) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest big = SimpleRequest(8000);
  big.set_top_logprobs(32);  // some 4 MiB in all, more than fits on the way
  Client slow(server, big);
  // Reads nothing; the engine finishes it all the same, and others meanwhile.
  EXPECT_TRUE(Generate(server, SimpleRequest(10)).status.ok());
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kLength) == 2; }));
  const Answer answer = slow.Finish();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.ids.size(), 8000u);
  EXPECT_EQ(answer.bytes, std::string(answer.ids.begin(), answer.ids.end()));
  EXPECT_TRUE(answer.has_finish);
  // What fitted on the way came token by token, the rest in large pieces.
  EXPECT_GT(answer.largest_delta, 100);
}

TEST(GenerateCallTest, AReaderThatLeavesTooMuchUnreadIsGivenUp) {
  TestServer server;
  server.gate().Open();
  v1::GenerateRequest huge = SimpleRequest(1 << 20);
  huge.set_top_logprobs(32);
  Client slow(server, huge);
  EXPECT_TRUE(Eventually(
      [&] { return server.NumFinished(FinishReason::kCancelled) == 1; }));
  EXPECT_EQ(slow.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
}

// Lets the model go step by step until a request was cancelled: the server
// hears of a cancellation soon, but there is no event to tell when.
bool StepUntilCancelled(TestServer& server) {
  return Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  });
}

TEST(GenerateCallTest, CancellingFreesThePlace) {
  TestServer server(OneAtATime(8));
  Client first(server, SimpleRequest(1 << 20));
  server.gate().WaitForArrivals(1);  // it runs
  Client second(server, SimpleRequest(2));
  first.Cancel();
  EXPECT_EQ(first.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(second.Finish().ids.size(), 2u);
}

TEST(GenerateCallTest, CancellingTakesTheRequestOutOfTheQueue) {
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

TEST(GenerateCallTest, TheDeadlineEndsTheRequest) {
  TestServer server(OneAtATime(8));
  Client late(server, SimpleRequest(1 << 20), absl::Milliseconds(100));
  EXPECT_EQ(late.Finish().status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(StepUntilCancelled(server));
  server.gate().Open();
  EXPECT_EQ(Generate(server, SimpleRequest(1)).ids.size(), 1u);
}

TEST(GenerateCallTest, AFullQueueIsToldAtOnce) {
  TestServer server(OneAtATime(1));
  Client running(server, SimpleRequest(2));
  server.gate().WaitForArrivals(1);
  Client queued(server, SimpleRequest(2));
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  // The gate is closed: nothing moves, and still there is an answer.
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.pushback, "1000");
  server.gate().Open();
  EXPECT_TRUE(running.Finish().status.ok());
  EXPECT_TRUE(queued.Finish().status.ok());
}

// gRPC's own retries take up only what has not been answered in part.
TEST(GenerateCallTest, WhoHasWaitedForTooLongGetsNothingButTheStatus) {
  Options options;
  options.engine.max_queue_time = absl::Nanoseconds(1);
  TestServer server(options);
  const Answer refused = Generate(server, SimpleRequest(2));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(refused.has_finish);
  EXPECT_EQ(refused.pushback, "1000");
  EXPECT_EQ(server.engine().Stats().rejected_queue_time, 1u);
}

TEST(GenerateCallTest, ADeadlineThatCannotBeMetIsRefused) {
  Options options;
  // The engine sees each step take ten seconds.
  options.engine.clock = [late = absl::ZeroDuration()]() mutable {
    late += absl::Seconds(10);
    return absl::Now() + late;
  };
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_prompt()->set_text(std::string(256, 'a'));
  EXPECT_TRUE(Generate(server, request).status.ok());  // a full step
  request.mutable_prompt()->set_text(std::string(1 << 18, 'b'));
  const Answer refused = Client(server, request, absl::Hours(1)).Finish();
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("cannot be met"));
  EXPECT_FALSE(refused.has_finish);
  request.mutable_prompt()->set_text("c");
  EXPECT_TRUE(Client(server, request, absl::Hours(1)).Finish().status.ok());
}

TEST(GenerateCallTest, DrainingLetsARunningRequestFinishInItsGrace) {
  Options options;
  options.drain_grace = absl::Minutes(10);
  TestServer server(options);
  Client running(server, SimpleRequest(3));
  server.gate().WaitForArrivals(1);
  server.server().Drain();
  // Refused, once the engine drains too.
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

TEST(GenerateCallTest, DrainingEndsTheRestWithUnavailable) {
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

TEST(GenerateCallTest, ASecondDrainCutsTheGraceShort) {
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
