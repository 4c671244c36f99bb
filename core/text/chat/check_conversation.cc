// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/check_conversation.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/field_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "core/text/chat/json_text.h"

namespace rwkvd {
namespace {

absl::string_view RoleName(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
    case ChatRole::kTool:
      return "tool";
  }
  return "unknown";
}

absl::Status ExpectAtMost(size_t limit, size_t got, absl::string_view unit,
                          const std::string& field) {
  if (got <= limit) return absl::OkStatus();
  return FieldError(field, absl::StrCat("expected at most ", limit, " ", unit,
                                        ", got ", got));
}

absl::Status ExpectUtf8(absl::string_view text, const std::string& field) {
  const size_t valid = ValidUtf8Length(text);
  if (valid == text.size()) return absl::OkStatus();
  return FieldError(ErrorReason::kFieldNotUtf8, field,
                    absl::StrCat("expected UTF-8, got an invalid byte at "
                                 "offset ",
                                 valid));
}

absl::Status CheckName(absl::string_view name, const std::string& field) {
  if (name.empty()) return FieldError(field, "expected a name, got none");
  RWKVD_RETURN_IF_ERROR(
      ExpectAtMost(kMaxChatNameBytes, name.size(), "bytes", field));
  RWKVD_RETURN_IF_ERROR(ExpectUtf8(name, field));
  if (std::any_of(name.begin(), name.end(), absl::ascii_iscntrl)) {
    return FieldError(field, absl::StrCat("expected no control characters, "
                                          "got ",
                                          Quoted(name)));
  }
  return absl::OkStatus();
}

// Checks an optional JSON object.
absl::Status CheckObject(absl::string_view json, const std::string& field) {
  if (json.empty()) return absl::OkStatus();
  const absl::Status status = CheckJsonObject(json);
  return status.ok() ? status : FieldError(field, status.message());
}

// The error of a field that asks for what the template does not have.
absl::Status NotInTemplate(const ChatTemplate& chat_template,
                           absl::string_view field, absl::string_view what) {
  return FieldError(
      field, absl::StrCat("the chat template ", Quoted(chat_template.name),
                          " has no ", what));
}

absl::Status CheckTools(const ChatTemplate& chat_template,
                        const std::vector<ChatTool>& tools) {
  if (!tools.empty() && !chat_template.has_tools) {
    return NotInTemplate(chat_template, "tools", "tools");
  }
  RWKVD_RETURN_IF_ERROR(
      ExpectAtMost(kMaxChatTools, tools.size(), "tools", "tools"));
  size_t num_bytes = 0;
  for (const ChatTool& tool : tools) {
    num_bytes +=
        tool.name.size() + tool.description.size() + tool.parameters.size();
  }
  RWKVD_RETURN_IF_ERROR(
      ExpectAtMost(kMaxToolBytes, num_bytes, "bytes", "tools"));
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string field = absl::StrCat("tools[", i, "].");
    RWKVD_RETURN_IF_ERROR(
        CheckName(tools[i].name, absl::StrCat(field, "name")));
    RWKVD_RETURN_IF_ERROR(
        ExpectUtf8(tools[i].description, absl::StrCat(field, "description")));
    RWKVD_RETURN_IF_ERROR(
        CheckObject(tools[i].parameters, absl::StrCat(field, "parameters")));
  }
  return absl::OkStatus();
}

absl::Status CheckModes(const ChatTemplate& chat_template,
                        const ChatConversation& conversation) {
  const bool has_effort = conversation.effort != ChatEffort::kDefault;
  if (has_effort && !chat_template.has_effort) {
    return NotInTemplate(chat_template, "effort", "efforts of thinking");
  }
  if (has_effort && conversation.thinking != ChatThinking::kOn) {
    return FieldError(ErrorReason::kFieldsConflict, "effort",
                      "expected an effort only if thinking is on");
  }
  if (conversation.require_tool_call &&
      conversation.thinking != ChatThinking::kDefault) {
    return FieldError(ErrorReason::kFieldsConflict, "require_tool_call",
                      "expected no mode of thinking if the answer starts with "
                      "a tool call");
  }
  if (OpeningOf(chat_template, conversation) != nullptr) {
    return absl::OkStatus();
  }
  return conversation.require_tool_call
             ? NotInTemplate(chat_template, "require_tool_call",
                             "prompt that requires a tool call")
             : NotInTemplate(chat_template, "thinking",
                             "such mode of thinking");
}

// Checks the messages one after another.
//
// Owned by one CheckConversation call; thread-compatible.
class MessageChecker {
 public:
  explicit MessageChecker(const ChatTemplate& chat_template)
      : template_(chat_template) {}

  absl::Status CheckNext(const ChatMessage& message) {
    field_ = absl::StrCat("messages[", num_checked_, "].");
    RWKVD_RETURN_IF_ERROR(CheckRole(message.role));
    RWKVD_RETURN_IF_ERROR(CheckToolCalls(message));
    RWKVD_RETURN_IF_ERROR(CheckToolCallId(message));
    previous_ = message.role;
    ++num_checked_;
    return absl::OkStatus();
  }

  // Checks that an answer may follow the last message.
  absl::Status CheckEnd() const {
    if (!template_.is_ordered || previous_ == ChatRole::kUser ||
        previous_ == ChatRole::kTool) {
      return absl::OkStatus();
    }
    return RoleError(previous_,
                     " is the last message, to which the model "
                     "cannot answer");
  }

 private:
  absl::Status RoleError(ChatRole role, absl::string_view problem) const {
    return FieldError(absl::StrCat(field_, "role"),
                      absl::StrCat(RoleName(role), problem, " (chat template ",
                                   Quoted(template_.name), ")"));
  }

  absl::Status CheckRole(ChatRole role) const {
    const bool is_first = num_checked_ == 0;
    if (role == ChatRole::kTool) return CheckToolRole();
    if (!template_.is_ordered) return absl::OkStatus();
    if (role == ChatRole::kSystem && !is_first) {
      return RoleError(role, " must be the first message");
    }
    if (role == ChatRole::kUser && !is_first && previous_ == role) {
      return RoleError(role, " follows user; expected an answer in between");
    }
    if (role == ChatRole::kAssistant &&
        (is_first || previous_ == ChatRole::kSystem || previous_ == role)) {
      return RoleError(role, " must follow user or tool");
    }
    return absl::OkStatus();
  }

  absl::Status CheckToolRole() const {
    if (!template_.has_tools) {
      return RoleError(ChatRole::kTool, " is not a role");
    }
    if (num_checked_ > 0 &&
        (previous_ == ChatRole::kAssistant || previous_ == ChatRole::kTool)) {
      return absl::OkStatus();
    }
    return RoleError(ChatRole::kTool, " must follow assistant or tool");
  }

  absl::Status CheckToolCalls(const ChatMessage& message) {
    const std::vector<ChatToolCall>& calls = message.tool_calls;
    const std::string field = absl::StrCat(field_, "tool_calls");
    if (calls.empty()) return absl::OkStatus();
    if (message.role != ChatRole::kAssistant || !template_.has_tools) {
      return FieldError(field,
                        absl::StrCat("expected none in a message of role ",
                                     RoleName(message.role), " (chat template ",
                                     Quoted(template_.name), ")"));
    }
    RWKVD_RETURN_IF_ERROR(
        ExpectAtMost(kMaxToolCallsPerMessage, calls.size(), "calls", field));
    for (size_t i = 0; i < calls.size(); ++i) {
      RWKVD_RETURN_IF_ERROR(
          CheckToolCall(calls[i], absl::StrCat(field, "[", i, "].")));
    }
    return absl::OkStatus();
  }

  absl::Status CheckToolCall(const ChatToolCall& call,
                             const std::string& field) {
    RWKVD_RETURN_IF_ERROR(CheckName(call.name, absl::StrCat(field, "name")));
    RWKVD_RETURN_IF_ERROR(ExpectAtMost(kMaxChatNameBytes, call.id.size(),
                                       "bytes", absl::StrCat(field, "id")));
    const std::string arguments = absl::StrCat(field, "arguments");
    RWKVD_RETURN_IF_ERROR(ExpectAtMost(
        kMaxArgumentsBytes, call.arguments.size(), "bytes", arguments));
    if (!call.id.empty()) ids_.insert(call.id);
    return CheckObject(call.arguments, arguments);
  }

  absl::Status CheckToolCallId(const ChatMessage& message) const {
    const absl::string_view id = message.tool_call_id;
    if (id.empty()) return absl::OkStatus();
    const std::string field = absl::StrCat(field_, "tool_call_id");
    if (message.role != ChatRole::kTool) {
      return FieldError(field, "expected none except in a tool message");
    }
    if (ids_.count(id) > 0) return absl::OkStatus();
    return FieldError(field, absl::StrCat("expected the id of an earlier tool "
                                          "call, got ",
                                          Quoted(id)));
  }

  const ChatTemplate& template_;
  std::set<absl::string_view> ids_;  // views of the conversation
  std::string field_;                // of the current message, with a dot
  size_t num_checked_ = 0;
  ChatRole previous_ = ChatRole::kUser;  // if num_checked_ is not 0
};

size_t NumBytes(const std::vector<ChatMessage>& messages) {
  size_t num_bytes = 0;
  for (const ChatMessage& message : messages) {
    num_bytes += message.content.size();
    for (const ChatToolCall& call : message.tool_calls) {
      num_bytes += call.name.size() + call.arguments.size();
    }
  }
  return num_bytes;
}

absl::Status CheckMessages(const ChatTemplate& chat_template,
                           const ChatConversation& conversation) {
  const std::vector<ChatMessage>& messages = conversation.messages;
  if (messages.empty()) {
    return FieldError("messages", "expected at least one message, got none");
  }
  RWKVD_RETURN_IF_ERROR(
      ExpectAtMost(kMaxChatMessages, messages.size(), "messages", "messages"));
  RWKVD_RETURN_IF_ERROR(
      ExpectAtMost(kMaxChatBytes, NumBytes(messages), "bytes", "messages"));
  MessageChecker checker(chat_template);
  for (const ChatMessage& message : messages) {
    RWKVD_RETURN_IF_ERROR(checker.CheckNext(message));
  }
  return conversation.add_generation_prompt ? checker.CheckEnd()
                                            : absl::OkStatus();
}

}  // namespace

absl::Status CheckConversation(const ChatTemplate& chat_template,
                               const ChatConversation& conversation) {
  RWKVD_RETURN_IF_ERROR(CheckMessages(chat_template, conversation));
  RWKVD_RETURN_IF_ERROR(CheckTools(chat_template, conversation.tools));
  return CheckModes(chat_template, conversation);
}

}  // namespace rwkvd
