// SPDX-License-Identifier: Apache-2.0
//
// Compares rendered prompts with those of the original templates.
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "core/text/chat/chat_template.h"
#include "core/text/chat/json_text.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::vector<OrderedJson> VectorLines(const std::string& name) {
  const std::string text = ReadWholeFile(FormatFixtures() + "/chat/" + name);
  std::vector<OrderedJson> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    lines.push_back(OrderedJson::parse(line));
  }
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

// A text, or "" for null.
std::string TextOf(const OrderedJson& object, const char* name) {
  const OrderedJson value = object.value(name, OrderedJson());
  return value.is_string() ? value.get<std::string>() : "";
}

// Arguments that are an object become the text that Python writes.
std::string ArgumentsOf(const OrderedJson& function) {
  const OrderedJson value = function.value("arguments", OrderedJson());
  if (!value.is_object()) return TextOf(function, "arguments");
  return RewriteJsonObject(value.dump()).value();
}

ChatToolCall CallOf(const OrderedJson& call) {
  const OrderedJson& function =
      call.contains("function") ? call.at("function") : call;
  return {TextOf(call, "id"), TextOf(function, "name"), ArgumentsOf(function)};
}

ChatTool ToolOf(const OrderedJson& tool) {
  const OrderedJson& function = tool.at("function");
  return {TextOf(function, "name"), TextOf(function, "description"),
          function.at("parameters").dump()};
}

// Adds a message. Roles that a ChatRole cannot express are omitted, as the
// original templates do.
void AddMessage(const OrderedJson& json, ChatConversation* conversation) {
  const std::string role = TextOf(json, "role");
  ChatMessage message = {ChatRole::kSystem, TextOf(json, "content")};
  if (role == "user") {
    message.role = ChatRole::kUser;
  } else if (role == "assistant") {
    message.role = ChatRole::kAssistant;
  } else if (role == "tool") {
    message.role = ChatRole::kTool;
  } else if (role != "system") {
    return;
  }
  for (const OrderedJson& call : json.value("tool_calls", OrderedJson())) {
    message.tool_calls.push_back(CallOf(call));
  }
  message.tool_call_id = TextOf(json, "tool_call_id");
  conversation->messages.push_back(message);
}

// `thinking` is the name of the vector's field.
ChatConversation ConversationOf(const OrderedJson& line, const char* messages,
                                const char* thinking) {
  ChatConversation conversation;
  for (const OrderedJson& message : line.at(messages)) {
    AddMessage(message, &conversation);
  }
  for (const OrderedJson& tool : line.value("tools", OrderedJson())) {
    conversation.tools.push_back(ToolOf(tool));
  }
  if (line.contains(thinking)) {
    conversation.thinking =
        line.at(thinking).get<bool>() ? ChatThinking::kOn : ChatThinking::kOff;
  }
  conversation.add_generation_prompt =
      line.value("add_generation_prompt", true);
  return conversation;
}

// Checks that the template renders `line` to the byte. RenderChat must accept
// it, too, unless `is_refused`.
void ExpectRendered(const char* name, const ChatConversation& conversation,
                    const OrderedJson& line, bool is_refused) {
  SCOPED_TRACE(line.dump());
  const ChatTemplate& chat_template = **FindChatTemplate(name);
  const auto expected = line.at("expected_text").get<std::string>();
  const auto unchecked = RenderUncheckedChat(chat_template, conversation);
  ASSERT_TRUE(unchecked.ok()) << unchecked.status();
  EXPECT_EQ(unchecked->Text(), expected);
  const auto checked = RenderChat(chat_template, conversation);
  EXPECT_EQ(checked.ok(), !is_refused) << checked.status();
  if (checked.ok()) {
    EXPECT_EQ(checked->Text(), expected);
  }
}

TEST(ChatVectors, OfficialTemplateRendersToTheByte) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  for (const OrderedJson& line : VectorLines("official-2026-08.jsonl")) {
    ExpectRendered(
        "official", ConversationOf(line, "messages", "thinking"), line,
        line.at("name") == "a call without arguments and one without a name");
  }
}

TEST(ChatVectors, WorldTemplateRendersToTheByte) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  for (const OrderedJson& line : VectorLines("gguf-template.jsonl")) {
    const bool has_tool_message = line.at("messages")[0].at("role") == "tool";
    ExpectRendered("world", ConversationOf(line, "messages", "enable_thinking"),
                   line, has_tool_message);
  }
}

// Sets the modes of a vector for G1.
void SetModes(const OrderedJson& line, ChatConversation* conversation) {
  const std::string prompt = TextOf(line, "prompt");
  const std::string effort = TextOf(line, "effort");
  conversation->require_tool_call = prompt == "json";
  if (prompt == "think") conversation->thinking = ChatThinking::kOn;
  if (prompt == "no-think") conversation->thinking = ChatThinking::kOff;
  if (prompt == "no-think-short") {
    conversation->thinking = ChatThinking::kOffShort;
  }
  if (effort == "think") conversation->effort = ChatEffort::kMedium;
  if (effort == "a bit") conversation->effort = ChatEffort::kLow;
  if (effort == "a lot") conversation->effort = ChatEffort::kHigh;
}

TEST(ChatVectors, G1TemplateRendersToTheByte) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  for (const OrderedJson& line : VectorLines("g1-templates.jsonl")) {
    ChatConversation conversation = ConversationOf(line, "turns", "thinking");
    if (line.contains("system")) {
      conversation.messages.insert(conversation.messages.begin(),
                                   {ChatRole::kSystem, TextOf(line, "system")});
    }
    SetModes(line, &conversation);
    ExpectRendered("g1", conversation, line, false);
  }
}

}  // namespace
}  // namespace rwkvd
