// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CHECK_CONVERSATION_H_
#define RWKVD_CORE_TEXT_CHAT_CHECK_CONVERSATION_H_

#include <cstddef>

#include "absl/status/status.h"
#include "core/text/chat/chat_template.h"
#include "core/text/chat/conversation.h"

namespace rwkvd {

// Limits of a conversation.
inline constexpr size_t kMaxChatMessages = 10000;
inline constexpr size_t kMaxChatTools = 128;
inline constexpr size_t kMaxToolCallsPerMessage = 128;
inline constexpr size_t kMaxChatNameBytes = 256;       // of a name or id
inline constexpr size_t kMaxToolBytes = 256 << 10;     // of all tools together
inline constexpr size_t kMaxArgumentsBytes = 1 << 20;  // of one tool call
inline constexpr size_t kMaxChatBytes = 64 << 20;      // of everything

// Returns InvalidArgument unless the conversation is valid and the template can
// render what it asks for:
//
//   * It has at least one message and exceeds no limit.
//   * A tool message follows an answer or another tool message, and its
//     tool_call_id, if it has one, is that of an earlier tool call.
//   * If the template is ordered, a system message is the first, and user
//     messages and answers follow in turn. Then the last message is not an
//     answer if the prompt is to start one.
//   * Names are not empty and contain no control characters, parameters and
//     arguments are JSON objects, and names and descriptions are valid UTF-8.
//     Contents may be any bytes.
//   * The template has the tools and the modes of thinking that are used.
//
// The error names the field, such as "messages[3].role".
absl::Status CheckConversation(const ChatTemplate& chat_template,
                               const ChatConversation& conversation);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CHECK_CONVERSATION_H_
