// SPDX-License-Identifier: Apache-2.0
#include "service/convert/conversation.h"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/text/chat/check_conversation.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// The bytes of a conversation exist once in ChatConversation, and then either
// up to six times while arguments are checked, or up to three times each in its
// pieces and in a part that grows.
constexpr int64_t kRenderedCopies = 8;

// Control characters take six bytes in JSON, of which the growing text, the
// piece and the part have copies.
constexpr int64_t kToolCopies = 6 * 7;

// The objects of a message, tool call or tool, and the template's own text.
constexpr int64_t kMessageMemory = 1024;

// The template's text about tools.
constexpr int64_t kTemplateMemory = 4096;

absl::Status CheckCount(absl::string_view field, int count, size_t most) {
  if (static_cast<size_t>(count) <= most) return absl::OkStatus();
  return FieldError(field,
                    absl::StrCat("expected at most ", most, ", got ", count));
}

absl::Status UnknownValue(absl::string_view field, int value) {
  return FieldError(field,
                    absl::StrCat(value, " is not a value that is allowed"));
}

std::optional<ChatRole> RoleFromProto(v1::ChatRole role) {
  switch (role) {
    case v1::CHAT_ROLE_SYSTEM:
      return ChatRole::kSystem;
    case v1::CHAT_ROLE_USER:
      return ChatRole::kUser;
    case v1::CHAT_ROLE_ASSISTANT:
      return ChatRole::kAssistant;
    case v1::CHAT_ROLE_TOOL:
      return ChatRole::kTool;
    default:
      return std::nullopt;
  }
}

std::optional<ChatThinking> ThinkingFromProto(v1::ChatThinking thinking) {
  switch (thinking) {
    case v1::CHAT_THINKING_UNSPECIFIED:
      return ChatThinking::kDefault;
    case v1::CHAT_THINKING_OFF:
      return ChatThinking::kOff;
    case v1::CHAT_THINKING_OFF_SHORT:
      return ChatThinking::kOffShort;
    case v1::CHAT_THINKING_ON:
      return ChatThinking::kOn;
    default:
      return std::nullopt;
  }
}

std::optional<ChatEffort> EffortFromProto(v1::ChatEffort effort) {
  switch (effort) {
    case v1::CHAT_EFFORT_UNSPECIFIED:
      return ChatEffort::kDefault;
    case v1::CHAT_EFFORT_LOW:
      return ChatEffort::kLow;
    case v1::CHAT_EFFORT_MEDIUM:
      return ChatEffort::kMedium;
    case v1::CHAT_EFFORT_HIGH:
      return ChatEffort::kHigh;
    default:
      return std::nullopt;
  }
}

// The message at this index.
absl::StatusOr<ChatMessage> MessageFromProto(const v1::ChatMessage& proto,
                                             int index) {
  const std::optional<ChatRole> role = RoleFromProto(proto.role());
  if (!role.has_value()) {
    return UnknownValue(absl::StrCat("messages[", index, "].role"),
                        proto.role());
  }
  ChatMessage message{.role = *role,
                      .content = proto.content(),
                      .tool_call_id = proto.tool_call_id()};
  message.tool_calls.reserve(static_cast<size_t>(proto.tool_calls_size()));
  for (const v1::ChatToolCall& call : proto.tool_calls()) {
    message.tool_calls.push_back({call.id(), call.name(), call.arguments()});
  }
  return message;
}

absl::Status SetModes(const v1::Conversation& proto,
                      ChatConversation* conversation) {
  const auto thinking = ThinkingFromProto(proto.thinking());
  if (!thinking.has_value()) return UnknownValue("thinking", proto.thinking());
  const auto effort = EffortFromProto(proto.effort());
  if (!effort.has_value()) return UnknownValue("effort", proto.effort());
  conversation->thinking = *thinking;
  conversation->effort = *effort;
  conversation->require_tool_call = proto.require_tool_call();
  conversation->add_generation_prompt =
      !proto.has_add_generation_prompt() || proto.add_generation_prompt();
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCounts(const v1::Conversation& proto) {
  RWKVD_RETURN_IF_ERROR(
      CheckCount("messages", proto.messages_size(), kMaxChatMessages));
  return CheckCount("tools", proto.tools_size(), kMaxChatTools);
}

absl::StatusOr<ChatConversation> ConversationFromProto(
    const v1::Conversation& proto) {
  ChatConversation conversation;
  conversation.messages.reserve(static_cast<size_t>(proto.messages_size()));
  for (int i = 0; i < proto.messages_size(); ++i) {
    RWKVD_ASSIGN_OR_RETURN(ChatMessage message,
                           MessageFromProto(proto.messages(i), i));
    conversation.messages.push_back(std::move(message));
  }
  conversation.tools.reserve(static_cast<size_t>(proto.tools_size()));
  for (const v1::ChatTool& tool : proto.tools()) {
    conversation.tools.push_back(
        {tool.name(), tool.description(), tool.parameters()});
  }
  RWKVD_RETURN_IF_ERROR(SetModes(proto, &conversation));
  return conversation;
}

int64_t MaxRenderMemory(const v1::Conversation& proto) {
  int64_t copies = 0;
  int64_t objects = proto.messages_size() + proto.tools_size();
  for (const v1::ChatMessage& message : proto.messages()) {
    objects += message.tool_calls_size();
    copies += kRenderedCopies * static_cast<int64_t>(message.ByteSizeLong());
  }
  for (const v1::ChatTool& tool : proto.tools()) {
    copies += kToolCopies * static_cast<int64_t>(tool.ByteSizeLong());
  }
  return kTemplateMemory + kMessageMemory * objects + copies;
}

}  // namespace rwkvd
