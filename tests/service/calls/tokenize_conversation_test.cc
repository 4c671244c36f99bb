// SPDX-License-Identifier: Apache-2.0
//
// Tokenize renders conversations.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// A request with one message. The fake model has no template of its own.
v1::TokenizeRequest RequestWith(const std::string& content) {
  v1::TokenizeRequest request;
  v1::Conversation* const conversation = request.mutable_conversation();
  conversation->set_chat_template("g1");
  v1::ChatMessage* const message = conversation->add_messages();
  message->set_role(v1::CHAT_ROLE_USER);
  message->set_content(content);
  return request;
}

class TokenizeConversationTest : public ::testing::Test {
 protected:
  grpc::Status Tokenize(const v1::TokenizeRequest& request) {
    grpc::ClientContext context;
    return server_.NewStub()->Tokenize(&context, request, &response_);
  }

  TestServer server_;
  v1::TokenizeResponse response_;
};

TEST_F(TokenizeConversationTest, ReturnsTokensTextAndAnswerStart) {
  v1::TokenizeRequest request = RequestWith("Hi");
  request.mutable_conversation()->set_thinking(v1::CHAT_THINKING_ON);
  ASSERT_TRUE(Tokenize(request).ok());
  const std::string prompt = "User: Hi\n\nAssistant: <think";
  EXPECT_EQ(std::string(response_.ids().begin(), response_.ids().end()),
            prompt);
  EXPECT_EQ(response_.answer_start(), "<think");
  EXPECT_EQ(response_.rendered_text(), "") << "only if requested";
  request.set_rendered_text(true);
  request.set_token_text(true);
  ASSERT_TRUE(Tokenize(request).ok());
  EXPECT_EQ(response_.rendered_text(), prompt);
  EXPECT_EQ(response_.tokens_size(), response_.ids_size());
}

TEST_F(TokenizeConversationTest, ErrorsNameTheField) {
  v1::TokenizeRequest request = RequestWith("Hi");
  request.mutable_conversation()->mutable_messages(0)->clear_role();
  grpc::Status status = Tokenize(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("conversation.messages[0].role: "));
  request = RequestWith("Hi");
  request.mutable_conversation()->clear_chat_template();
  status = Tokenize(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("conversation: "));
}

TEST_F(TokenizeConversationTest, RenderedTextNeedsAConversation) {
  v1::TokenizeRequest request;
  request.set_text("Hi");
  request.set_rendered_text(true);
  EXPECT_EQ(Tokenize(request).error_message(),
            "rendered_text: expected only with a conversation");
}

TEST_F(TokenizeConversationTest, RenderedTextCountsTowardTheAnswer) {
  // The ids of its bytes have two bytes each.
  std::string content;
  for (int i = 0; i < 1000000; ++i) content += "\u00e9";
  v1::TokenizeRequest request = RequestWith(content);
  EXPECT_TRUE(Tokenize(request).ok());
  request.set_rendered_text(true);
  const grpc::Status status = Tokenize(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("conversation: has 2000"));
  EXPECT_THAT(status.error_message(), HasSubstr("send fewer messages"));
}

}  // namespace
}  // namespace rwkvd
