// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_document_call.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cli/grpc_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// The result of one ScoreDocument call.
struct Scored {
  std::vector<v1::TokenScore> tokens;
  int largest_message = 0;  // in tokens
  bool has_total = false;
  v1::DocumentTotal total;
  grpc::Status status;
};

// A ScoreDocument call that is in progress.
class DocumentClient {
 public:
  explicit DocumentClient(const TestServer& server) : stub_(server.NewStub()) {
    stream_ = stub_->ScoreDocument(&context_);
  }

  bool Send(const std::string& part, bool token_scores = false,
            const std::string& initial_state = "", bool token_text = false) {
    v1::ScoreDocumentRequest request;
    request.set_token_text(token_text);
    request.mutable_part()->set_bytes(part);
    request.set_token_scores(token_scores);
    request.set_initial_state(initial_state);
    return stream_->Write(request);
  }

  bool Read(v1::ScoreDocumentResponse* response) {
    return stream_->Read(response);
  }
  void Cancel() { context_.TryCancel(); }

  Scored Finish() {
    stream_->WritesDone();
    Scored scored;
    v1::ScoreDocumentResponse response;
    while (stream_->Read(&response)) {
      EXPECT_FALSE(scored.has_total) << "something came after the total";
      if (response.has_total()) {
        scored.has_total = true;
        scored.total = response.total();
      }
      scored.largest_message =
          std::max(scored.largest_message, response.tokens().tokens_size());
      scored.tokens.insert(scored.tokens.end(),
                           response.tokens().tokens().begin(),
                           response.tokens().tokens().end());
    }
    scored.status = stream_->Finish();
    return scored;
  }

  std::string Pushback() const {
    const auto& trailers = context_.GetServerTrailingMetadata();
    const auto it = trailers.find(kRetryPushback);
    return it == trailers.end()
               ? ""
               : std::string(it->second.data(), it->second.size());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::RwkvService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ScoreDocumentRequest,
                                           v1::ScoreDocumentResponse>>
      stream_;
};

TEST(ScoreDocumentCallTest, TokensHaveTextInMessagesOfBoundedSize) {
  TestServer server;
  server.gate().Open();
  DocumentClient client(server);
  const std::string part(20'000, '\xff');
  ASSERT_TRUE(
      client.Send(part, /*token_scores=*/true, "", /*token_text=*/true));
  const Scored scored = client.Finish();
  ASSERT_TRUE(scored.status.ok()) << scored.status.error_message();
  ASSERT_EQ(scored.tokens.size(), part.size());
  for (const v1::TokenScore& token : scored.tokens) {
    ASSERT_EQ(token.bytes(), "\xff");
    ASSERT_EQ(token.text(), "\xef\xbf\xbd");
  }
  const auto bytes = static_cast<int64_t>(scored.tokens[0].ByteSizeLong());
  EXPECT_LE(scored.largest_message * bytes,
            ScoreDocumentCall::kMaxBytesInMessage);
  EXPECT_LT(scored.largest_message, ScoreDocumentCall::kMaxTokensInMessage)
      << "the test needs larger tokens";
}

std::string RandomBytes(std::mt19937& random, size_t n) {
  std::string bytes(n, 0);
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

v1::ContinuationScore ScoreWhole(const TestServer& server,
                                 const std::string& document,
                                 const std::string& initial_state = "") {
  v1::ScoreRequest request;
  request.add_continuations()->set_bytes(document);
  request.set_initial_state(initial_state);
  v1::ScoreResponse response;
  grpc::ClientContext context;
  EXPECT_TRUE(server.NewStub()->Score(&context, request, &response).ok());
  return response.scores(0);
}

TEST(ScoreDocumentCallTest, ScoresOfPartsEqualThoseOfTheWhole) {
  TestServer server;
  server.gate().Open();
  std::mt19937 random(3);
  for (const char* initial_state : {"", "after-x"}) {
    const std::string document = RandomBytes(random, 300);
    const v1::ContinuationScore whole =
        ScoreWhole(server, document, initial_state);
    for (int round = 0; round < 5; ++round) {
      DocumentClient client(server);
      for (size_t sent = 0; sent < document.size();) {
        const size_t n = std::min<size_t>(random() % (round == 0 ? 2 : 90),
                                          document.size() - sent);
        ASSERT_TRUE(client.Send(document.substr(sent, n), true,
                                sent == 0 ? initial_state : ""));
        sent += n;
      }
      const Scored scored = client.Finish();
      ASSERT_TRUE(scored.status.ok()) << scored.status.error_message();
      ASSERT_EQ(scored.tokens.size(), 300u);
      int64_t greedy = 0;
      for (int i = 0; i < 300; ++i) {
        ASSERT_EQ(scored.tokens[i].SerializeAsString(),
                  whole.tokens(i).SerializeAsString());
        greedy += whole.tokens(i).is_greedy();
      }
      EXPECT_EQ(scored.total.logprob_sum(), whole.logprob_sum());
      EXPECT_EQ(scored.total.token_count(), 300);
      EXPECT_EQ(scored.total.byte_count(), 300);
      EXPECT_EQ(scored.total.greedy_count(), greedy);
    }
  }
}

TEST(ScoreDocumentCallTest, SendsOnlyTheTotalByDefault) {
  TestServer server;
  server.gate().Open();
  DocumentClient client(server);
  client.Send("abc");
  client.Send("d");
  const Scored scored = client.Finish();
  EXPECT_TRUE(scored.tokens.empty());
  EXPECT_EQ(scored.total.logprob_sum(),
            ScoreWhole(server, "abcd").logprob_sum());
}

TEST(ScoreDocumentCallTest, EmptyDocumentHasATotal) {
  TestServer server;
  const Scored scored = DocumentClient(server).Finish();
  EXPECT_TRUE(scored.status.ok());
  ASSERT_TRUE(scored.has_total);
  EXPECT_EQ(scored.total.token_count(), 0);
}

TEST(ScoreDocumentCallTest, DocumentMayBeLongerThanAPrompt) {
  Options options;
  options.engine.max_prompt_tokens = 8;
  TestServer server(options);
  server.gate().Open();
  DocumentClient client(server);
  for (int i = 0; i < 100; ++i) client.Send("abcdefg");
  const Scored scored = client.Finish();
  EXPECT_TRUE(scored.status.ok()) << scored.status.error_message();
  EXPECT_EQ(scored.total.token_count(), 700);
}

TEST(ScoreDocumentCallTest, SendsScoresOfAPartBeforeReadingTheNext) {
  TestServer server;
  server.gate().Open();
  DocumentClient client(server);
  v1::ScoreDocumentResponse response;
  for (int i = 0; i < 3; ++i) {
    client.Send("ab", true);
    ASSERT_TRUE(client.Read(&response));
    EXPECT_EQ(response.tokens().tokens_size(), 2);
  }
  EXPECT_TRUE(client.Finish().status.ok());
}

TEST(ScoreDocumentCallTest, MessagesAreBounded) {
  TestServer server;
  server.gate().Open();
  DocumentClient client(server);
  client.Send(std::string(70000, 'a'), true);
  const Scored scored = client.Finish();
  EXPECT_EQ(scored.tokens.size(), 70000u);
  EXPECT_EQ(scored.largest_message, ScoreDocumentCall::kMaxTokensInMessage);
}

TEST(ScoreDocumentCallTest, ErrorNamesTheInvalidField) {
  Options options;
  options.engine.max_prompt_tokens = 8;
  TestServer server(options);
  server.gate().Open();
  DocumentClient too_long(server);
  too_long.Send("abcd");
  too_long.Send("abcdefgh");
  const Scored scored = too_long.Finish();
  EXPECT_EQ(scored.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(scored.status.error_message(),
            "part: has more than 7 tokens, must have 0 to 7");
  EXPECT_FALSE(scored.has_total);
  DocumentClient unknown(server);
  unknown.Send("a", false, "nobody");
  EXPECT_THAT(unknown.Finish().status.error_message(),
              HasSubstr("initial_state"));
}

TEST(ScoreDocumentCallTest, FullQueueDoesNotRefuseLaterParts) {
  Options options;
  options.engine.max_running = 2;
  options.engine.max_queued = 1;
  TestServer server(options);
  DocumentClient document(server);
  document.Send("ab", true);
  server.gate().Permit(2);  // the start token and "a"
  v1::ScoreDocumentResponse response;
  ASSERT_TRUE(document.Read(&response));
  std::vector<std::unique_ptr<v1::RwkvService::Stub>> stubs;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> others;
  for (int i = 0; i < 3; ++i) {
    stubs.push_back(server.NewStub());
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    others.push_back(
        stubs.back()->Generate(contexts.back().get(), SimpleRequest(3)));
  }
  const auto num_there = [&] {
    const EngineStats stats = server.engine().Stats();
    return stats.running + stats.queued;
  };
  ASSERT_TRUE(
      Eventually([&] { return num_there() == 3; }));  // the queue is full
  document.Send("cd");
  ASSERT_TRUE(Eventually([&] { return num_there() == 4; }));
  server.gate().Open();
  const Scored scored = document.Finish();
  EXPECT_TRUE(scored.status.ok()) << scored.status.error_message();
  EXPECT_EQ(scored.total.token_count(), 4);
  for (auto& other : others) {
    v1::GenerateResponse ignored;
    while (other->Read(&ignored)) {
    }
    EXPECT_TRUE(other->Finish().ok());
  }
}

TEST(ScoreDocumentCallTest, LimitsTheNumberOfOpenDocuments) {
  Options options;
  options.engine.max_running = 1;
  TestServer server(options);
  server.gate().Open();
  auto first = std::make_unique<DocumentClient>(server);
  first->Send("a", true);
  v1::ScoreDocumentResponse response;
  ASSERT_TRUE(first->Read(&response));
  DocumentClient second(server);
  EXPECT_EQ(second.Finish().status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(second.Pushback(), "5000");
  // A call that ends makes room for another.
  first->Cancel();
  EXPECT_EQ(first->Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(
      Eventually([&] { return DocumentClient(server).Finish().status.ok(); }));
}

TEST(ScoreDocumentCallTest, CancelingEndsThePart) {
  TestServer server;
  DocumentClient client(server);
  // More steps than run before the server learns of the cancellation.
  client.Send(std::string(100'000, 'a'));
  server.gate().WaitForArrivals(1);
  client.Cancel();
  EXPECT_EQ(client.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  }));
}

TEST(ScoreDocumentCallTest, DrainingEndsTheCallWithUnavailable) {
  TestServer server;
  server.gate().Open();
  DocumentClient client(server);
  client.Send("a", true);
  v1::ScoreDocumentResponse response;
  ASSERT_TRUE(client.Read(&response));
  server.engine().Drain(absl::InfinitePast());
  client.Send("b");
  EXPECT_EQ(client.Finish().status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace rwkvd
