// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/answer_start.h"

#include <string>

#include "core/text/chat/chat_template.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

const ChatTemplate& Template(absl::string_view name) {
  return **FindChatTemplate(name);
}

TEST(AnswerStart, EveryRenderedPromptEndsWithIt) {
  for (const ChatTemplate& known : AllChatTemplates()) {
    for (const ChatThinking thinking :
         {ChatThinking::kDefault, ChatThinking::kOff, ChatThinking::kOffShort,
          ChatThinking::kOn}) {
      ChatConversation conversation;
      conversation.messages.push_back(
          {.role = ChatRole::kUser, .content = "Hello"});
      conversation.thinking = thinking;
      if (OpeningOf(known, conversation) == nullptr) continue;
      const auto rendered = RenderChat(known, conversation);
      ASSERT_TRUE(rendered.ok()) << rendered.status();
      const std::string text = rendered->Text();
      const absl::string_view start = AnswerStartAtEnd(known, text);
      EXPECT_EQ(start.size(), text.size() - rendered->stable_bytes) << text;
      EXPECT_LE(start.size(), kMaxAnswerStartBytes);
    }
  }
}

TEST(AnswerStart, IsEmptyForOtherTexts) {
  const ChatTemplate& g1 = Template("g1");
  for (const char* const text :
       {"", "Assistant", "My Assistant:", "\n\nAssistant: Yes",
        "\n\nAlice:", "\n\nAssistant: <think></think>\n", "\n\nAssistant: "}) {
    EXPECT_EQ(AnswerStartAtEnd(g1, text), "") << text;
  }
  EXPECT_EQ(AnswerStartAtEnd(g1, "Assistant:"), "Assistant:");
  EXPECT_EQ(AnswerStartAtEnd(Template("raven"), "Bob: Hi\n\nAlice:"), "Alice:");
}

}  // namespace
}  // namespace rwkvd
