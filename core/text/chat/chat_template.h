// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CHAT_TEMPLATE_H_
#define RWKVD_CORE_TEXT_CHAT_CHAT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/text/chat/conversation.h"
#include "core/text/chat/rendered_chat.h"

namespace rwkvd {

// A built-in chat template: the format in which a family of models was trained
// on conversations. The templates are constants.
struct ChatTemplate {
  // What follows "Assistant:" at the end of a prompt. nullptr: the template has
  // no such mode, and CheckConversation refuses it.
  struct Openings {
    const char* by_default;
    const char* thinking_off;
    const char* thinking_off_short;
    const char* thinking_on;
    const char* tool_call;
  };

  absl::string_view name;
  absl::string_view help;  // for people
  absl::string_view user;  // the roles as the prompt shows them
  absl::string_view assistant;
  absl::Span<const absl::string_view> roles;  // all of them
  absl::string_view before_system;            // such as "System: "
  Openings openings;
  bool has_tools;   // renders tools, tool calls and their results
  bool has_effort;  // renders ChatConversation::effort
  // Whether roles must be in order: an optional system message, and then user
  // and assistant messages in turn. Otherwise every order is rendered, and the
  // last of several system messages is used, as the original template does.
  bool is_ordered;
  // Whether empty lines are removed from system, user and tool messages.
  // Otherwise only white space at both ends of messages is removed (CleanText).
  bool cleans_text;

  // An answer ends before these texts, and at the tokenizer's end_of_text.
  absl::Span<const absl::string_view> stop_sequences;

  // Writes all messages. InvalidArgument if a tool's parameters are not a JSON
  // object.
  absl::Status (*write_messages)(const ChatTemplate& chat_template,
                                 const ChatConversation& conversation,
                                 ChatWriter* writer);
};

// All templates. The first is the newest.
absl::Span<const ChatTemplate> AllChatTemplates();

// "official, g1, world, raven", for errors.
std::string ChatTemplateNames();

// The template of that name. InvalidArgument lists the known names.
absl::StatusOr<const ChatTemplate*> FindChatTemplate(absl::string_view name);

// What follows "Assistant:" at the end of the prompt; nullptr if the template
// does not have the mode that the conversation asks for.
const char* OpeningOf(const ChatTemplate& chat_template,
                      const ChatConversation& conversation);

// Renders a conversation as a prompt. Returns the errors of CheckConversation.
absl::StatusOr<RenderedChat> RenderChat(const ChatTemplate& chat_template,
                                        const ChatConversation& conversation);

// The same for conversations that CheckConversation may refuse. Like the
// original templates, renders what they can and omits the rest without an
// error. InvalidArgument if a tool's parameters are not a JSON object.
absl::StatusOr<RenderedChat> RenderUncheckedChat(
    const ChatTemplate& chat_template, const ChatConversation& conversation);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CHAT_TEMPLATE_H_
