// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_WRITE_MESSAGES_H_
#define RWKVD_CORE_TEXT_CHAT_WRITE_MESSAGES_H_

#include "absl/status/status.h"
#include "core/text/chat/chat_template.h"
#include "core/text/chat/conversation.h"
#include "core/text/chat/rendered_chat.h"

namespace rwkvd {

// How the built-in templates write the messages of a conversation, without the
// start of the answer. Functions for ChatTemplate::write_messages. Every
// message ends with an empty line.

// The official template: the system text and the tools are first. The contents
// are stripped and otherwise verbatim. A tool call is a block of JSON, and its
// result a user message.
absl::Status WriteOfficialMessages(const ChatTemplate& chat_template,
                                   const ChatConversation& conversation,
                                   ChatWriter* writer);

// The template in llama.cpp's GGUF files: the system text is first and
// verbatim, the other contents are stripped, and an answer loses the thought
// that precedes its last "</think>". Tools, tool calls and results are omitted.
absl::Status WriteWorldMessages(const ChatTemplate& chat_template,
                                const ChatConversation& conversation,
                                ChatWriter* writer);

// The templates of G1 and Raven: system, user and tool messages are cleaned
// (CleanChatText), answers are only stripped. The tools have the form of the
// official template, which is of the same models.
absl::Status WriteCleanMessages(const ChatTemplate& chat_template,
                                const ChatConversation& conversation,
                                ChatWriter* writer);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_WRITE_MESSAGES_H_
