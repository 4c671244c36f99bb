// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/chat_template.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const ChatTemplate& Template(absl::string_view name) {
  return *FindTemplate(name).value();
}

// The expected prompts are from BlinkDL's RWKV7-G1x-templates.txt and, for
// Raven, from ChatRWKV.
TEST(ChatTemplateTest, WorldNamesUserAndAssistant) {
  EXPECT_EQ(RenderPrompt(Template("world"), {}, "Hi"),
            "User: Hi\n\nAssistant:");
  const Transcript transcript = {
      "world", "Be brief.", {{"One?", " Two."}, {"Three?", " Four."}}};
  EXPECT_EQ(RenderPrompt(Template("world"), transcript, "Five?"),
            "System: Be brief.\n\n"
            "User: One?\n\nAssistant: Two.\n\n"
            "User: Three?\n\nAssistant: Four.\n\n"
            "User: Five?\n\nAssistant:");
  EXPECT_THAT(StopStrings(Template("world")),
              ElementsAre("\n\nUser:", "\nUser:"));
}

TEST(ChatTemplateTest, ThinkingTemplatesOpenTheAnswer) {
  EXPECT_EQ(RenderPrompt(Template("think"), {}, "Hi"),
            "User: Hi\n\nAssistant: <think");
  EXPECT_EQ(RenderPrompt(Template("no-think"), {}, "Hi"),
            "User: Hi\n\nAssistant: <think>\n</think");
}

TEST(ChatTemplateTest, RavenNamesBobAndAlice) {
  const Transcript transcript = {"raven", "They talk.", {{"Hi", " Hello."}}};
  EXPECT_EQ(RenderPrompt(Template("raven"), transcript, "Bye"),
            "They talk.\n\nBob: Hi\n\nAlice: Hello.\n\nBob: Bye\n\nAlice:");
  EXPECT_THAT(StopStrings(Template("raven")),
              ElementsAre("\n\nBob:", "\nBob:"));
}

TEST(ChatTemplateTest, RemovesEmptyLinesFromUserAndSystemText) {
  EXPECT_EQ(CleanText("  a\r\n\r\n\nb\n  c \n\n"), "a\nb\n  c");
  EXPECT_EQ(CleanText(" \n\t"), "");
  const Transcript transcript = {"world", "x\n\ny", {{"a\n\nb", " c\n\nd"}}};
  EXPECT_EQ(RenderPrompt(Template("world"), transcript, "e\n\n\nf"),
            "System: x\ny\n\nUser: a\nb\n\nAssistant: c\n\nd\n\n"
            "User: e\nf\n\nAssistant:");
}

TEST(ChatTemplateTest, ErrorForUnknownNameListsAllNames) {
  EXPECT_THAT(std::string(FindTemplate("x").status().message()),
              HasSubstr("world, think, no-think, raven"));
}

}  // namespace
}  // namespace rwkvd
