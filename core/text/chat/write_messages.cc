// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/write_messages.h"

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/text/chat/clean_text.h"
#include "core/text/chat/json_text.h"

namespace rwkvd {
namespace {

constexpr char kBreak[] = "\n\n";  // ends a message
constexpr char kFunctionOutput[] = "Function output:\n";
constexpr char kEndOfThought[] = "</think>";
constexpr char kToolRules[] =
    "When using a tool, return only a compact JSON function call in a ```json "
    "block, like "
    "{\"name\":\"calculator\",\"arguments\":{\"expression\":\"2+2\"}"
    "}. The `name` field must be top-level, never inside `arguments`. Do not "
    "copy the tool schema into arguments. Otherwise answer normally.";

// How a template writes a tool call.
struct ToolCallStyle {
  absl::string_view before;  // of each call but the first
  absl::string_view name;    // precedes the name
  absl::string_view arguments;
};
constexpr ToolCallStyle kOfficialCalls = {"\n ",
                                          "{\"name\": ", ", \"arguments\": "};
constexpr ToolCallStyle kCompactCalls = {"\n", "{\"name\":", ",\"arguments\":"};

// The content of the last system message, or "".
absl::string_view LastSystem(const ChatConversation& conversation) {
  absl::string_view system;
  for (const ChatMessage& message : conversation.messages) {
    if (message.role == ChatRole::kSystem) system = message.content;
  }
  return system;
}

absl::StatusOr<std::string> ToolJson(const ChatTool& tool) {
  std::string json =
      absl::StrCat("{\"type\": \"function\", \"function\": {\"name\": ",
                   JsonString(tool.name));
  if (!tool.description.empty()) {
    absl::StrAppend(&json, ", \"description\": ", JsonString(tool.description));
  }
  if (!tool.parameters.empty()) {
    RWKVD_ASSIGN_OR_RETURN(const std::string parameters,
                           RewriteJsonObject(tool.parameters));
    absl::StrAppend(&json, ", \"parameters\": ", parameters);
  }
  return absl::StrCat(json, "}}");
}

absl::StatusOr<std::string> ToolsJson(const std::vector<ChatTool>& tools) {
  std::string list;
  for (size_t i = 0; i < tools.size(); ++i) {
    const absl::StatusOr<std::string> tool = ToolJson(tools[i]);
    if (!tool.ok()) {
      return FieldError(absl::StrCat("tools[", i, "].parameters"),
                        tool.status().message());
    }
    absl::StrAppend(&list, i == 0 ? "" : ", ", *tool);
  }
  return absl::StrCat("[", list, "]");
}

// Writes the system text and the tools, if there are any. `before_rules`
// precedes the rules for tool calls.
absl::Status WriteSystem(const ChatTemplate& chat_template,
                         absl::string_view system,
                         const std::vector<ChatTool>& tools,
                         absl::string_view before_rules, ChatWriter* writer) {
  if (system.empty() && tools.empty()) return absl::OkStatus();
  writer->AddTemplate(chat_template.before_system);
  writer->AddContent(system);
  if (!tools.empty()) {
    RWKVD_ASSIGN_OR_RETURN(const std::string json, ToolsJson(tools));
    writer->AddTemplate(system.empty() ? "Tools:\n" : "\nTools:\n");
    writer->AddContent(json);
    writer->AddTemplate(absl::StrCat(before_rules, kToolRules));
  }
  writer->AddTemplate(kBreak);
  return absl::OkStatus();
}

void WriteToolCalls(const std::vector<ChatToolCall>& calls,
                    const ToolCallStyle& style, ChatWriter* writer) {
  absl::string_view before;
  for (const ChatToolCall& call : calls) {
    writer->AddTemplate(absl::StrCat(before, "```json\n", style.name));
    writer->AddContent(JsonString(call.name));
    writer->AddTemplate(style.arguments);
    writer->AddContent(call.arguments.empty() ? "{}" : call.arguments);
    writer->AddTemplate("}\n```");
    before = style.before;
  }
}

// Writes the stripped content and the tool calls, which `between` separates.
void WriteAnswer(const ChatTemplate& chat_template, const ChatMessage& message,
                 absl::string_view between, const ToolCallStyle& style,
                 ChatWriter* writer) {
  const absl::string_view content = PythonStrip(message.content);
  const bool has_calls = !message.tool_calls.empty();
  writer->AddTemplate(absl::StrCat(chat_template.assistant, ":"));
  if (!content.empty() || has_calls) writer->AddTemplate(" ");
  writer->AddContent(content);
  if (!content.empty() && has_calls) writer->AddTemplate(between);
  WriteToolCalls(message.tool_calls, style, writer);
  writer->AddTemplate(kBreak);
}

// Writes a message of the user. `before` and `after` enclose the content.
void WriteUser(const ChatTemplate& chat_template, absl::string_view before,
               absl::string_view content, absl::string_view after,
               ChatWriter* writer) {
  writer->AddTemplate(absl::StrCat(chat_template.user, ": ", before));
  writer->AddContent(content);
  if (!after.empty()) {
    writer->EndStable();  // the next prompt does not contain `after` here
    writer->AddTemplate(after);
  }
  writer->AddTemplate(kBreak);
}

void WriteOfficialMessage(const ChatTemplate& chat_template,
                          const ChatMessage& message, ChatWriter* writer) {
  const absl::string_view content = PythonStrip(message.content);
  switch (message.role) {
    case ChatRole::kSystem:
      return;  // WriteSystem writes it
    case ChatRole::kUser:
      return WriteUser(chat_template, "", content, "", writer);
    case ChatRole::kAssistant:
      return WriteAnswer(chat_template, message, "\n ", kOfficialCalls, writer);
    case ChatRole::kTool:
      return WriteUser(chat_template, kFunctionOutput, content, "", writer);
  }
}

void WriteCleanMessage(const ChatTemplate& chat_template,
                       const ChatMessage& message, absl::string_view effort,
                       ChatWriter* writer) {
  const std::string content = CleanChatText(message.content);
  switch (message.role) {
    case ChatRole::kSystem:
      return;  // WriteSystem writes it
    case ChatRole::kUser:
      return WriteUser(chat_template, "", content, effort, writer);
    case ChatRole::kAssistant:
      return WriteAnswer(chat_template, message, "\n", kCompactCalls, writer);
    case ChatRole::kTool:
      return WriteUser(chat_template, kFunctionOutput, content, "", writer);
  }
}

// What follows the last message of the user.
absl::string_view EffortText(ChatEffort effort) {
  switch (effort) {
    case ChatEffort::kDefault:
      return "";
    case ChatEffort::kLow:
      return " (think a bit)";
    case ChatEffort::kMedium:
      return " (think)";
    case ChatEffort::kHigh:
      return " (think a lot)";
  }
  return "";
}

size_t LastUser(const std::vector<ChatMessage>& messages) {
  size_t i = messages.size();
  while (i > 0 && messages[i - 1].role != ChatRole::kUser) --i;
  return i - 1;  // wraps around if there is none
}

// `content` without the thought before its last "</think>".
absl::string_view WithoutThought(absl::string_view content) {
  const size_t end = content.rfind(kEndOfThought);
  if (end == content.npos) return content;
  return content.substr(end + absl::string_view(kEndOfThought).size());
}

}  // namespace

absl::Status WriteOfficialMessages(const ChatTemplate& chat_template,
                                   const ChatConversation& conversation,
                                   ChatWriter* writer) {
  RWKVD_RETURN_IF_ERROR(WriteSystem(chat_template,
                                    PythonStrip(LastSystem(conversation)),
                                    conversation.tools, kBreak, writer));
  for (const ChatMessage& message : conversation.messages) {
    WriteOfficialMessage(chat_template, message, writer);
  }
  return absl::OkStatus();
}

absl::Status WriteWorldMessages(const ChatTemplate& chat_template,
                                const ChatConversation& conversation,
                                ChatWriter* writer) {
  RWKVD_RETURN_IF_ERROR(
      WriteSystem(chat_template, LastSystem(conversation), {}, "", writer));
  for (const ChatMessage& message : conversation.messages) {
    if (message.role == ChatRole::kUser) {
      WriteUser(chat_template, "", PythonStrip(message.content), "", writer);
    } else if (message.role == ChatRole::kAssistant) {
      writer->AddTemplate(absl::StrCat(chat_template.assistant, ": "));
      writer->AddContent(PythonStrip(WithoutThought(message.content)));
      writer->AddTemplate(kBreak);
    }
  }
  return absl::OkStatus();
}

absl::Status WriteCleanMessages(const ChatTemplate& chat_template,
                                const ChatConversation& conversation,
                                ChatWriter* writer) {
  RWKVD_RETURN_IF_ERROR(WriteSystem(
      chat_template, CleanChatText(LastSystem(conversation)),
      chat_template.has_tools ? conversation.tools : std::vector<ChatTool>(),
      "\n", writer));
  const size_t last_user = LastUser(conversation.messages);
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const bool shows_effort = chat_template.has_effort && i == last_user;
    WriteCleanMessage(chat_template, conversation.messages[i],
                      shows_effort ? EffortText(conversation.effort) : "",
                      writer);
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
