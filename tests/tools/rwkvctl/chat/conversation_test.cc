// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/conversation.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

// Conversations with a real server and a model without weights. Each byte is a
// token.
class ConversationTest : public ::testing::Test {
 protected:
  ConversationTest() { server_.gate().Open(); }

  // Options for answers of exactly `tokens` letters.
  Conversation::Options Letters(int tokens) {
    Conversation::Options options;
    options.chat_template = "world";
    options.request.set_max_tokens(tokens);
    v1::Sampling& sampling = *options.request.mutable_sampling();
    sampling.set_seed(1);
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      sampling.add_allowed_tokens(letter);
    }
    return options;
  }

  // Sends a message. Returns the last message of the response, and sets
  // `status_`.
  std::optional<v1::Finish> Say(Conversation& conversation,
                                const std::string& user) {
    std::optional<v1::Finish> finish;
    status_ = conversation.Say(user, [&](const v1::GenerateResponse& response) {
      if (response.has_finish()) finish = response.finish();
    });
    return finish;
  }

  Interrupt interrupt_;  // created before other threads start
  TestServer server_;
  std::unique_ptr<v1::RwkvService::Stub> stub_ = server_.NewStub();
  absl::Status status_;
};

// The server tokenizes the first answer again, as the template writes it: after
// a blank, which the model of this test does not generate.
TEST_F(ConversationTest, FirstPromptIsCachedInTheSecond) {
  Conversation conversation(Letters(20), stub_.get(), &interrupt_);
  const auto first = Say(conversation, "one");
  ASSERT_TRUE(first.has_value()) << status_;
  EXPECT_EQ(
      first->usage().prompt_tokens(),
      static_cast<int64_t>(std::string("User: one\n\nAssistant:").size()));
  const std::string written = conversation.transcript().turns[0].assistant;
  // Trailing white space would be removed; this answer has none.
  ASSERT_EQ(written.size(), 20u);
  const auto second = Say(conversation, "two");
  ASSERT_TRUE(second.has_value()) << status_;
  const std::string new_text = " \n\nUser: two\n\nAssistant:";
  EXPECT_EQ(second->usage().prompt_tokens(),
            first->usage().prompt_tokens() + 20 +
                static_cast<int64_t>(new_text.size()));
  EXPECT_EQ(second->usage().cached_tokens(), first->usage().prompt_tokens());
}

TEST_F(ConversationTest, AnswerEqualsThatOfTheWholeConversationAsOnePrompt) {
  Conversation conversation(Letters(8), stub_.get(), &interrupt_);
  Say(conversation, "one");
  const std::string first = conversation.transcript().turns[0].assistant;
  Say(conversation, "two");
  v1::GenerateRequest request = Letters(8).request;
  request.mutable_prompt()->set_bytes("User: one\n\nAssistant: " + first +
                                      "\n\nUser: two\n\nAssistant:");
  grpc::ClientContext context;
  const auto reader = server_.NewStub()->Generate(&context, request);
  std::string answer;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    answer += response.delta().bytes() + response.finish().bytes();
  }
  EXPECT_TRUE(
      absl::StartsWith(answer, conversation.transcript().turns[1].assistant));
}

TEST_F(ConversationTest, FailedCallLeavesTheTranscriptUnchanged) {
  // The server rejects a negative limit.
  Conversation conversation(Letters(-1), stub_.get(), &interrupt_);
  EXPECT_FALSE(Say(conversation, "one").has_value());
  EXPECT_EQ(status_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(conversation.transcript().turns.empty());
}

TEST_F(ConversationTest, CtrlCDuringAnAnswerEndsTheAnswerOnly) {
  Conversation conversation(Letters(1 << 20), stub_.get(), &interrupt_);
  bool sent = false;
  const absl::Status status =
      conversation.Say("one", [&sent](const v1::GenerateResponse&) {
        if (!sent) kill(getpid(), SIGINT);
        sent = true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(interrupt_.ended());
  EXPECT_EQ(conversation.transcript().turns.size(), 1u);
}

TEST_F(ConversationTest, CtrlCBetweenAnswersEndsTheSession) {
  kill(getpid(), SIGINT);
  EXPECT_TRUE(Eventually([this] { return interrupt_.ended(); }));
}

TEST_F(ConversationTest, ExpiredDeadlineIsAFailure) {
  Conversation::Options options = Letters(1 << 20);
  options.timeout = absl::Milliseconds(50);
  Conversation conversation(options, stub_.get(), &interrupt_);
  Say(conversation, "one");
  EXPECT_EQ(status_.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ConversationTest, SetTranscriptRejectsUnknownTemplates) {
  Conversation conversation(Letters(5), stub_.get(), &interrupt_);
  EXPECT_FALSE(conversation.SetTranscript({"sonnet", "", {}}).ok());
  EXPECT_EQ(conversation.transcript().template_name, "world");
  EXPECT_TRUE(conversation.SetTranscript({"raven", "", {{"a", "b"}}}).ok());
  EXPECT_EQ(conversation.transcript().template_name, "raven");
  EXPECT_EQ(*conversation.RenderedText(), "Bob: a\n\nAlice: b\n\n");
}

TEST_F(ConversationTest, AnswerStartBelongsToTheAnswer) {
  Conversation::Options options = Letters(5);
  options.chat_template = "g1";
  options.thinking = v1::CHAT_THINKING_ON;
  Conversation conversation(options, stub_.get(), &interrupt_);
  EXPECT_EQ(*conversation.AnswerStart(), "<think");
  Say(conversation, "one");
  ASSERT_TRUE(status_.ok()) << status_;
  const std::string answer = conversation.transcript().turns[0].assistant;
  EXPECT_TRUE(absl::StartsWith(answer, "<think")) << answer;
  EXPECT_EQ(*conversation.RenderedText(),
            "User: one\n\nAssistant: " + answer + "\n\n");
}

TEST_F(ConversationTest, ModeThatTheTemplateLacksIsRefused) {
  Conversation::Options options = Letters(5);
  options.chat_template = "raven";
  options.thinking = v1::CHAT_THINKING_ON;
  Conversation conversation(options, stub_.get(), &interrupt_);
  EXPECT_TRUE(absl::IsInvalidArgument(conversation.AnswerStart().status()));
}

TEST_F(ConversationTest, BytesThatAreNotUtf8AreReplaced) {
  Conversation conversation(Letters(5), stub_.get(), &interrupt_);
  ASSERT_TRUE(
      conversation.SetTranscript({"world", "", {{"a\xff\xc3", "b"}}}).ok());
  EXPECT_EQ(*conversation.RenderedText(),
            "User: a\uFFFD\uFFFD\n\nAssistant: b\n\n");
}

TEST_F(ConversationTest, EmptyConversationHasNoText) {
  Conversation conversation(Letters(5), stub_.get(), &interrupt_);
  EXPECT_EQ(*conversation.RenderedText(), "");
}

}  // namespace
}  // namespace rwkvd
