// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_call.h"

#include <chrono>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

v1::ScoreRequest TwoContinuations() {
  v1::ScoreRequest request;
  request.mutable_context()->set_text("ab");
  request.add_continuations()->set_text("cde");
  request.add_continuations()->mutable_tokens()->add_ids(7);
  return request;
}

grpc::Status Score(const TestServer& server, const v1::ScoreRequest& request,
                   v1::ScoreResponse* response) {
  grpc::ClientContext context;
  return server.NewStub()->Score(&context, request, response);
}

TEST(ScoreCallTest, AnswersInTheOrderOfTheRequest) {
  TestServer server;
  server.gate().Open();
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(server, TwoContinuations(), &response).ok());
  ASSERT_EQ(response.scores_size(), 2);
  EXPECT_EQ(response.scores(0).token_count(), 3);
  EXPECT_EQ(response.scores(0).tokens(0).id(), 'c');
  EXPECT_EQ(response.scores(0).tokens(2).id(), 'e');
  EXPECT_EQ(response.scores(1).token_count(), 1);
  EXPECT_EQ(response.scores(1).tokens(0).id(), 7);
  for (const v1::ContinuationScore& score : response.scores()) {
    double sum = 0;
    bool all_greedy = true;
    for (const v1::TokenScore& token : score.tokens()) {
      EXPECT_LE(token.logprob(), 0);
      sum += token.logprob();
      all_greedy = all_greedy && token.is_greedy();
    }
    EXPECT_DOUBLE_EQ(score.logprob_sum(), sum);
    EXPECT_EQ(score.is_greedy(), all_greedy);
  }
  EXPECT_EQ(response.usage().prompt_tokens(), 2);
  EXPECT_EQ(response.usage().generated_tokens(), 4);
}

TEST(ScoreCallTest, TokensHaveTextOnlyIfRequested) {
  TestServer server;
  server.gate().Open();
  v1::ScoreRequest request = TwoContinuations();
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(server, request, &response).ok());
  EXPECT_EQ(response.scores(0).tokens(0).bytes(), "");
  request.set_token_text(true);
  ASSERT_TRUE(Score(server, request, &response).ok());
  EXPECT_EQ(response.scores(0).tokens(0).bytes(), "c");
  EXPECT_EQ(response.scores(0).tokens(2).text(), "e");
  EXPECT_EQ(response.scores(1).tokens(0).text(), "\a");
}

TEST(ScoreCallTest, TextsCountInTheSizeOfTheResponse) {
  TestServer server;  // the gate is closed: nothing can be computed
  v1::ScoreRequest request;
  request.add_continuations()->set_bytes(std::string(180'000, '\xff'));
  request.set_token_text(true);
  v1::ScoreResponse response;
  const grpc::Status status = Score(server, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("max_response_bytes: "));
  server.gate().Open();
  request.set_token_text(false);
  EXPECT_TRUE(Score(server, request, &response).ok());
}

TEST(ScoreCallTest, ScoresOfManyItemsEqualThoseOfEachAlone) {
  TestServer server;
  server.gate().Open();
  v1::ScoreRequest many;
  std::vector<v1::ScoreRequest> single;
  for (const char* context : {"ab", "abc", "", "ab"}) {
    v1::ScoreItem* item = many.add_items();
    v1::ScoreRequest& one = single.emplace_back();
    item->mutable_context()->set_text(context);
    one.mutable_context()->set_text(context);
    for (const char* continuation : {"cd", "c", "xyz"}) {
      item->add_continuations()->set_text(continuation);
      one.add_continuations()->set_text(continuation);
    }
  }
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(server, many, &response).ok());
  ASSERT_EQ(response.items_size(), 4);
  EXPECT_EQ(response.scores_size(), 0);
  EXPECT_EQ(response.usage().prompt_tokens(), 7);
  EXPECT_EQ(response.usage().generated_tokens(), 24);
  for (int i = 0; i < 4; ++i) {
    v1::ScoreResponse alone;
    ASSERT_TRUE(Score(server, single[i], &alone).ok());
    ASSERT_EQ(response.items(i).scores_size(), 3);
    for (int j = 0; j < 3; ++j) {
      EXPECT_EQ(response.items(i).scores(j).SerializeAsString(),
                alone.scores(j).SerializeAsString());
    }
  }
}

TEST(ScoreCallTest, TotalsOnlyOmitsTokens) {
  TestServer server;
  server.gate().Open();
  v1::ScoreRequest request = TwoContinuations();
  v1::ScoreResponse full, totals;
  ASSERT_TRUE(Score(server, request, &full).ok());
  request.set_totals_only(true);
  ASSERT_TRUE(Score(server, request, &totals).ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(totals.scores(i).tokens_size(), 0);
    full.mutable_scores(i)->clear_tokens();
    EXPECT_EQ(totals.scores(i).SerializeAsString(),
              full.scores(i).SerializeAsString());
  }
}

TEST(ScoreCallTest, ResponseThatWouldExceedTheClientsLimitIsRefusedAtOnce) {
  TestServer server;  // its gate is closed
  v1::ScoreRequest request;
  for (int i = 0; i < 4; ++i) {
    request.add_continuations()->set_text(std::string(70'000, 'x'));
  }
  v1::ScoreResponse response;
  const grpc::Status status = Score(server, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("max_response_bytes: "));
  server.gate().Open();
  request.set_totals_only(true);
  EXPECT_TRUE(Score(server, request, &response).ok());
  EXPECT_EQ(response.scores(3).token_count(), 70'000);
}

TEST(ScoreCallTest, ItemsWithAContextAreRefused) {
  TestServer server;
  v1::ScoreRequest request = TwoContinuations();
  request.add_items();
  v1::ScoreResponse response;
  const grpc::Status status = Score(server, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_context();
  request.clear_continuations();
  EXPECT_THAT(Score(server, request, &response).error_message(),
              HasSubstr("items[0].continuations: has 0 entries"));
}

TEST(ScoreCallTest, ErrorNamesTheInvalidField) {
  TestServer server;
  v1::ScoreRequest request = TwoContinuations();
  request.mutable_continuations(1)->mutable_tokens()->add_ids(256);
  v1::ScoreResponse response;
  const grpc::Status status = Score(server, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("continuations[1].tokens.ids[1]"));
}

TEST(ScoreCallTest, DeadlineEndsTheRequest) {
  Options options;
  options.engine.max_running = 1;
  options.engine.max_step_tokens = 2;
  TestServer server(options);
  v1::ScoreRequest request = TwoContinuations();
  request.mutable_context()->set_text(std::string(1 << 17, 'x'));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(100));
  v1::ScoreResponse response;
  EXPECT_EQ(server.NewStub()->Score(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // The server learns of the cancellation during one of the next steps.
  EXPECT_TRUE(Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  }));
}

TEST(ScoreCallTest, DrainingEndsTheRequestWithUnavailable) {
  Options options;
  options.drain_grace = absl::ZeroDuration();
  TestServer server(options);
  v1::ScoreResponse response;
  grpc::Status status;
  std::thread client(
      [&] { status = Score(server, TwoContinuations(), &response); });
  server.gate().WaitForArrivals(1);
  server.server().Drain();
  // Then the drain deadline has passed.
  EXPECT_TRUE(Eventually([&] {
    return server.engine().CheckAccepting().code() ==
           absl::StatusCode::kUnavailable;
  }));
  server.gate().Permit(1);
  client.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

}  // namespace
}  // namespace rwkvd
