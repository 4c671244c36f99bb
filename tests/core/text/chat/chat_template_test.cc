// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/chat_template.h"

#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const ChatTemplate& Named(const char* name) { return **FindChatTemplate(name); }

std::string Rendered(const char* name, const ChatConversation& conversation) {
  const auto chat = RenderChat(Named(name), conversation);
  return chat.ok() ? chat->Text() : std::string(chat.status().message());
}

ChatConversation Question() { return {.messages = {{ChatRole::kUser, "q"}}}; }

ChatConversation QuestionThinking(ChatThinking thinking) {
  ChatConversation conversation = Question();
  conversation.thinking = thinking;
  return conversation;
}

TEST(ChatTemplate, NamesAreListedForAnUnknownName) {
  EXPECT_EQ(ChatTemplateNames(), "official, g1, world, raven");
  EXPECT_EQ(FindChatTemplate("x").status(),
            absl::InvalidArgumentError(
                "unknown chat template \"x\"; expected one of official, g1, "
                "world, raven"));
}

TEST(ChatTemplate, StopSequencesStartTheNextTurn) {
  EXPECT_THAT(Named("official").stop_sequences, ElementsAre("\n\nUser:"));
  EXPECT_THAT(Named("g1").stop_sequences, ElementsAre("\n\nUser:"));
  EXPECT_THAT(Named("world").stop_sequences, ElementsAre("\n\nUser:"));
  EXPECT_THAT(Named("raven").stop_sequences, ElementsAre("\n\nBob:", "\nBob:"));
}

TEST(ChatTemplate, EveryTemplateRendersWithAndWithoutOpening) {
  for (const ChatTemplate& chat_template : AllChatTemplates()) {
    ChatConversation conversation = Question();
    const auto with = RenderChat(chat_template, conversation);
    conversation.add_generation_prompt = false;
    const auto without = RenderChat(chat_template, conversation);
    ASSERT_TRUE(with.ok() && without.ok());
    EXPECT_TRUE(absl::StartsWith(with->Text(), without->Text()));
    EXPECT_EQ(with->stable_bytes, without->Text().size());
    EXPECT_EQ(without->stable_bytes, without->Text().size());
  }
}

TEST(ChatTemplate, AnswerStartIsWhatThePromptContainsOfTheAnswer) {
  const auto start = [](const char* name, ChatThinking thinking) {
    return RenderChat(Named(name), QuestionThinking(thinking))->answer_start;
  };
  EXPECT_EQ(start("official", ChatThinking::kDefault), "<think></think>\n");
  EXPECT_EQ(start("official", ChatThinking::kOn), "<think");
  EXPECT_EQ(start("g1", ChatThinking::kDefault), "");
  EXPECT_EQ(start("g1", ChatThinking::kOff), "<think>\n</think");
  EXPECT_EQ(start("g1", ChatThinking::kOffShort), "<think></think");
  EXPECT_EQ(start("world", ChatThinking::kOn), "<think>");
  EXPECT_EQ(start("raven", ChatThinking::kOff), "");
}

TEST(ChatTemplate, RavenRendersBobAndAlice) {
  EXPECT_EQ(Rendered("raven", {.messages = {{ChatRole::kSystem, "A chat.\n"},
                                            {ChatRole::kUser, "a\r\n\r\nb"},
                                            {ChatRole::kAssistant, " c\n"},
                                            {ChatRole::kUser, "d"}}}),
            "A chat.\n\nBob: a\nb\n\nAlice: c\n\nBob: d\n\nAlice:");
}

// The prompt of a longer conversation starts with the stable bytes.
void ExpectStable(const char* name, ChatConversation conversation) {
  const RenderedChat first = *RenderChat(Named(name), conversation);
  conversation.messages.push_back({ChatRole::kAssistant, "answer"});
  conversation.messages.push_back({ChatRole::kUser, "next"});
  const std::string second = RenderChat(Named(name), conversation)->Text();
  const std::string stable = first.Text().substr(0, first.stable_bytes);
  EXPECT_TRUE(absl::StartsWith(second, stable)) << second;
  EXPECT_TRUE(absl::StrContains(stable, "q")) << stable;
}

TEST(ChatTemplate, StableBytesStartThePromptsOfLaterTurns) {
  for (const char* name : {"official", "g1", "world", "raven"}) {
    ExpectStable(name, Question());
  }
  ChatConversation conversation = QuestionThinking(ChatThinking::kOn);
  ExpectStable("official", conversation);
  conversation.effort = ChatEffort::kHigh;
  ExpectStable("g1", conversation);
}

ChatConversation ToolConversation() {
  return {.messages = {{ChatRole::kSystem, "Be\n\nbrief."},
                       {ChatRole::kUser, "q"},
                       {ChatRole::kAssistant,
                        "Look:",
                        {{"c1", "f", "{\"x\":1}"}, {"c2", "g", ""}}},
                       {ChatRole::kTool, "1\n\n2", {}, "c1"},
                       {ChatRole::kTool, "3", {}, "c2"}},
          .tools = {{"f", "F.", "{\"type\":\"object\"}"}, {"g", "", ""}}};
}

TEST(ChatTemplate, G1RendersToolsAndCompactCalls) {
  const std::string text = Rendered("g1", ToolConversation());
  EXPECT_THAT(
      text,
      HasSubstr("System: Be\nbrief.\nTools:\n[{\"type\": \"function\", "
                "\"function\": {\"name\": \"f\", \"description\": \"F.\", "
                "\"parameters\": {\"type\": \"object\"}}}, {\"type\": "
                "\"function\", \"function\": {\"name\": \"g\"}}]\nWhen using"));
  EXPECT_THAT(
      text, HasSubstr("\n\nUser: q\n\nAssistant: Look:\n```json\n"
                      "{\"name\":\"f\",\"arguments\":{\"x\":1}}\n```\n```json\n"
                      "{\"name\":\"g\",\"arguments\":{}}\n```\n\n"
                      "User: Function output:\n1\n2\n\n"
                      "User: Function output:\n3\n\nAssistant:"));
}

TEST(ChatTemplate, ToolsAndArgumentsAreContent) {
  const auto chat = RenderChat(Named("official"), ToolConversation());
  ASSERT_TRUE(chat.ok()) << chat.status();
  for (const ChatPiece& piece : chat->pieces) {
    const bool is_from_client = absl::StrContains(piece.text, "\"x\":1") ||
                                absl::StrContains(piece.text, "\"F.\"") ||
                                piece.text == "\"f\"";
    if (is_from_client) {
      EXPECT_TRUE(piece.is_content) << piece.text;
    }
  }
}

TEST(ChatTemplate, UncheckedRenderingStillRefusesMalformedParameters) {
  ChatConversation conversation = Question();
  conversation.tools = {{"f", "", "{"}};
  EXPECT_THAT(
      std::string(
          RenderUncheckedChat(Named("g1"), conversation).status().message()),
      HasSubstr("tools[0].parameters: "));
}

TEST(ChatTemplate, UncheckedRenderingUsesTheDefaultForUnknownModes) {
  const auto chat =
      RenderUncheckedChat(Named("raven"), QuestionThinking(ChatThinking::kOn));
  EXPECT_EQ(chat->Text(), "Bob: q\n\nAlice:");
}

}  // namespace
}  // namespace rwkvd
