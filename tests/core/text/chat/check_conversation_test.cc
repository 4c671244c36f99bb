// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/check_conversation.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/field_error.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr ChatRole kSystem = ChatRole::kSystem;
constexpr ChatRole kUser = ChatRole::kUser;
constexpr ChatRole kAssistant = ChatRole::kAssistant;
constexpr ChatRole kTool = ChatRole::kTool;

absl::Status Check(const char* name, const ChatConversation& conversation) {
  return CheckConversation(**FindChatTemplate(name), conversation);
}

absl::Status CheckRoles(const char* name, const std::vector<ChatRole>& roles) {
  ChatConversation conversation;
  for (const ChatRole role : roles) conversation.messages.push_back({role, ""});
  return Check(name, conversation);
}

ChatConversation Asked() { return {.messages = {{kUser, "q"}}}; }

// A conversation with one tool call.
ChatConversation Called() {
  return {.messages = {{kUser, "q"},
                       {kAssistant, "", {{"c1", "f", "{}"}}},
                       {kTool, "r", {}, "c1"}},
          .tools = {{"f", "", "{}"}}};
}

void ExpectFieldError(const absl::Status& status, const std::string& field,
                      ErrorReason reason = ErrorReason::kFieldInvalid) {
  EXPECT_EQ(FieldOf(status), field) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
}

TEST(CheckConversation, AcceptsOrdinaryConversations) {
  for (const ChatTemplate& chat_template : AllChatTemplates()) {
    const std::string name(chat_template.name);
    EXPECT_TRUE(CheckRoles(name.c_str(), {kUser}).ok());
    EXPECT_TRUE(
        CheckRoles(name.c_str(), {kSystem, kUser, kAssistant, kUser}).ok());
  }
  EXPECT_TRUE(Check("official", Called()).ok());
  EXPECT_TRUE(Check("g1", Called()).ok());
}

TEST(CheckConversation, RefusesNoMessages) {
  ExpectFieldError(Check("official", {}), "messages");
}

TEST(CheckConversation, UnorderedTemplatesAcceptEveryOrder) {
  EXPECT_TRUE(CheckRoles("official", {kAssistant, kUser, kSystem}).ok());
  EXPECT_TRUE(CheckRoles("world", {kUser, kUser, kSystem, kAssistant}).ok());
}

TEST(CheckConversation, OrderedTemplatesRefuseOtherOrders) {
  for (const char* name : {"g1", "raven"}) {
    ExpectFieldError(CheckRoles(name, {kUser, kSystem}), "messages[1].role");
    ExpectFieldError(CheckRoles(name, {kUser, kUser}), "messages[1].role");
    ExpectFieldError(CheckRoles(name, {kAssistant}), "messages[0].role");
    ExpectFieldError(CheckRoles(name, {kSystem, kAssistant}),
                     "messages[1].role");
    ExpectFieldError(CheckRoles(name, {kUser, kAssistant, kAssistant}),
                     "messages[2].role");
    ExpectFieldError(CheckRoles(name, {kUser, kAssistant}), "messages[1].role");
    ExpectFieldError(CheckRoles(name, {kSystem}), "messages[0].role");
  }
}

TEST(CheckConversation, AnswerMayBeLastIfNoneIsToFollow) {
  ChatConversation conversation = {.messages = {{kUser, "q"}, {kAssistant, ""}},
                                   .add_generation_prompt = false};
  EXPECT_TRUE(Check("g1", conversation).ok());
}

TEST(CheckConversation, ToolMessageFollowsAnswerOrToolMessage) {
  EXPECT_TRUE(CheckRoles("g1", {kUser, kAssistant, kTool, kTool}).ok());
  EXPECT_TRUE(CheckRoles("g1", {kUser, kAssistant, kTool, kUser}).ok());
  ExpectFieldError(CheckRoles("official", {kTool}), "messages[0].role");
  ExpectFieldError(CheckRoles("g1", {kUser, kTool}), "messages[1].role");
}

TEST(CheckConversation, TemplatesWithoutToolsRefuseThem) {
  for (const char* name : {"world", "raven"}) {
    ExpectFieldError(CheckRoles(name, {kUser, kAssistant, kTool}),
                     "messages[2].role");
    ExpectFieldError(Check(name, Called()), "messages[1].tool_calls");
    ChatConversation conversation = Asked();
    conversation.tools = {{"f", "", ""}};
    ExpectFieldError(Check(name, conversation), "tools");
  }
}

TEST(CheckConversation, RoleErrorNamesTemplate) {
  EXPECT_EQ(CheckRoles("g1", {kUser, kSystem}).message(),
            "messages[1].role: system must be the first message (chat "
            "template \"g1\")");
}

TEST(CheckConversation, ChecksToolCalls) {
  ChatConversation conversation = Called();
  ChatToolCall& call = conversation.messages[1].tool_calls[0];
  call.name = "";
  ExpectFieldError(Check("g1", conversation), "messages[1].tool_calls[0].name");
  call.name = "a\nb";
  ExpectFieldError(Check("g1", conversation), "messages[1].tool_calls[0].name");
  call.name = "\xFF";
  ExpectFieldError(Check("g1", conversation), "messages[1].tool_calls[0].name",
                   ErrorReason::kFieldNotUtf8);
  call = {"c1", "f", "[]"};
  ExpectFieldError(Check("g1", conversation),
                   "messages[1].tool_calls[0].arguments");
  call = {std::string(kMaxChatNameBytes + 1, 'x'), "f", ""};
  ExpectFieldError(Check("g1", conversation), "messages[1].tool_calls[0].id");
}

TEST(CheckConversation, ChecksToolCallIds) {
  ChatConversation conversation = Called();
  conversation.messages[2].tool_call_id = "c2";
  ExpectFieldError(Check("official", conversation), "messages[2].tool_call_id");
  conversation.messages[2].tool_call_id = "";
  EXPECT_TRUE(Check("official", conversation).ok());
  conversation.messages[0].tool_call_id = "c1";
  ExpectFieldError(Check("official", conversation), "messages[0].tool_call_id");
}

TEST(CheckConversation, OnlyAnswersCallTools) {
  ChatConversation conversation = Called();
  conversation.messages[0].tool_calls = {{"c0", "f", ""}};
  ExpectFieldError(Check("g1", conversation), "messages[0].tool_calls");
}

TEST(CheckConversation, ChecksTools) {
  ChatConversation conversation = Asked();
  conversation.tools = {{"f", "", ""}, {"", "", ""}};
  ExpectFieldError(Check("g1", conversation), "tools[1].name");
  conversation.tools = {{"f", "\xFF", ""}};
  ExpectFieldError(Check("g1", conversation), "tools[0].description",
                   ErrorReason::kFieldNotUtf8);
  conversation.tools = {{"f", "", "1"}};
  ExpectFieldError(Check("g1", conversation), "tools[0].parameters");
}

TEST(CheckConversation, RefusesMoreThanTheLimits) {
  ChatConversation conversation = Asked();
  conversation.tools.assign(kMaxChatTools + 1, {"f", "", ""});
  ExpectFieldError(Check("g1", conversation), "tools");
  conversation.tools = {{"f", std::string(kMaxToolBytes, 'x'), ""}};
  ExpectFieldError(Check("g1", conversation), "tools");
  conversation = Called();
  conversation.messages[1].tool_calls.assign(kMaxToolCallsPerMessage + 1,
                                             {"", "f", ""});
  ExpectFieldError(Check("g1", conversation), "messages[1].tool_calls");
  conversation.messages[1].tool_calls = {
      {"c1", "f", std::string(kMaxArgumentsBytes + 1, ' ')}};
  ExpectFieldError(Check("g1", conversation),
                   "messages[1].tool_calls[0].arguments");
  conversation.messages.assign(kMaxChatMessages + 1, {kUser, ""});
  ExpectFieldError(Check("official", conversation), "messages");
  conversation.messages = {{kUser, std::string(kMaxChatBytes + 1, 'x')}};
  ExpectFieldError(Check("official", conversation), "messages");
}

TEST(CheckConversation, RefusesModesThatTheTemplateDoesNotHave) {
  ChatConversation conversation = Asked();
  conversation.thinking = ChatThinking::kOffShort;
  ExpectFieldError(Check("official", conversation), "thinking");
  conversation.thinking = ChatThinking::kOn;
  ExpectFieldError(Check("raven", conversation), "thinking");
  conversation.effort = ChatEffort::kLow;
  ExpectFieldError(Check("official", conversation), "effort");
  conversation = Asked();
  conversation.require_tool_call = true;
  EXPECT_TRUE(Check("g1", conversation).ok());
  ExpectFieldError(Check("official", conversation), "require_tool_call");
}

TEST(CheckConversation, RefusesModesThatContradict) {
  ChatConversation conversation = Asked();
  conversation.effort = ChatEffort::kLow;
  ExpectFieldError(Check("g1", conversation), "effort",
                   ErrorReason::kFieldsConflict);
  conversation = Asked();
  conversation.require_tool_call = true;
  conversation.thinking = ChatThinking::kOn;
  ExpectFieldError(Check("g1", conversation), "require_tool_call",
                   ErrorReason::kFieldsConflict);
}

TEST(CheckConversation, AcceptsBytesThatAreNotUtf8InContents) {
  EXPECT_TRUE(Check("g1", {.messages = {{kUser, "\xFF"}}}).ok());
}

}  // namespace
}  // namespace rwkvd
