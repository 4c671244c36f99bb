// SPDX-License-Identifier: Apache-2.0
//
// Answers of unary calls are bounded, and refused before they are computed.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr int kDefaultMaxBytes = 4 << 20;

grpc::Status Detokenize(const TestServer& server, int num_ids, int id,
                        v1::DetokenizeResponse* response) {
  v1::DetokenizeRequest request;
  for (int i = 0; i < num_ids; ++i) request.add_ids(id);
  grpc::ClientContext context;
  return server.NewStub()->Detokenize(&context, request, response);
}

TEST(UnaryAnswersTest, DetokenizeIsRefusedIfItsAnswerIsTooLarge) {
  TestServer server;
  v1::DetokenizeResponse response;
  // Twice the bytes, and 12 bytes around them.
  EXPECT_TRUE(
      Detokenize(server, kDefaultMaxBytes / 2 - 6, 'a', &response).ok());
  const grpc::Status status =
      Detokenize(server, kDefaultMaxBytes / 2 - 5, 'a', &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("ids: the answer would have"));
  EXPECT_THAT(status.error_message(), HasSubstr("send the ids in parts"));
}

TEST(UnaryAnswersTest, DetokenizeCountsReplacementCharacters) {
  TestServer server;
  v1::DetokenizeResponse response;
  // A byte that is not UTF-8 has 3 bytes in the text.
  EXPECT_TRUE(
      Detokenize(server, kDefaultMaxBytes / 4 - 3, 0xFF, &response).ok());
  EXPECT_EQ(response.text().size(), 3 * response.bytes().size());
  EXPECT_EQ(Detokenize(server, kDefaultMaxBytes / 4 - 2, 0xFF, &response)
                .error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(UnaryAnswersTest, DetokenizeIsRefusedBeforeItsAnswerIsComputed) {
  TestServer server;
  v1::DetokenizeResponse response;
  const grpc::Status status =
      Detokenize(server, kDefaultMaxBytes / 2, 0xFF, &response);
  // The text alone has three bytes for each id, which nobody knows before.
  EXPECT_THAT(
      status.error_message(),
      HasSubstr(absl::StrCat("have ", kDefaultMaxBytes, " bytes or more")));
}

TEST(UnaryAnswersTest, TokenizeIsRefusedIfItsAnswerMayBeTooLarge) {
  TestServer server;
  v1::TokenizeRequest request;
  v1::TokenizeResponse response;
  // Ids up to 256 have up to 2 bytes.
  request.set_text(std::string(kDefaultMaxBytes / 2 - 3, 'a'));
  grpc::ClientContext context;
  EXPECT_TRUE(server.NewStub()->Tokenize(&context, request, &response).ok());
  EXPECT_EQ(response.ids_size(), kDefaultMaxBytes / 2 - 3);
  request.set_bytes(std::string(kDefaultMaxBytes / 2 - 2, 'a'));
  grpc::ClientContext other;
  const grpc::Status status =
      server.NewStub()->Tokenize(&other, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("bytes: has more than"));
  EXPECT_THAT(status.error_message(), HasSubstr("send the bytes in parts"));
}

TEST(UnaryAnswersTest, TokenizeReturnsTextsOnlyIfRequested) {
  TestServer server;
  v1::TokenizeRequest request;
  request.set_bytes("a\xff");
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(server.NewStub()->Tokenize(&context, request, &response).ok());
  EXPECT_EQ(response.tokens_size(), 0);
  request.set_token_text(true);
  grpc::ClientContext other;
  ASSERT_TRUE(server.NewStub()->Tokenize(&other, request, &response).ok());
  EXPECT_EQ(response.ids_size(), 2);
  ASSERT_EQ(response.tokens_size(), 2);
  EXPECT_EQ(response.tokens(0).id(), 'a');
  EXPECT_EQ(response.tokens(0).text(), "a");
  EXPECT_EQ(response.tokens(1).bytes(), "\xff");
  EXPECT_EQ(response.tokens(1).text(), "\xef\xbf\xbd");
}

// Ids of one byte: 1 in the list, and 10 in a token with its text.
TEST(UnaryAnswersTest, TokenizeCountsTheTextsOfItsAnswer) {
  TestServer server;
  v1::TokenizeRequest request;
  request.set_token_text(true);
  request.set_text(std::string(kDefaultMaxBytes / 11 - 10, 'a'));
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  const grpc::Status status =
      server.NewStub()->Tokenize(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_LE(response.ByteSizeLong(), kDefaultMaxBytes);
  // Bytes that are not UTF-8 have 3 bytes in the text, and their ids 2.
  request.set_bytes(std::string(kDefaultMaxBytes / 14, '\xff'));
  grpc::ClientContext other;
  const grpc::Status refused =
      server.NewStub()->Tokenize(&other, request, &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("bytes and texts"));
}

}  // namespace
}  // namespace rwkvd
