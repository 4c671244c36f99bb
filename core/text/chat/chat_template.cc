// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/chat_template.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/chat/check_conversation.h"
#include "core/text/chat/write_messages.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kUserRoles[] = {"User", "Assistant", "System"};
constexpr absl::string_view kBobRoles[] = {"Bob", "Alice"};
constexpr absl::string_view kUserStops[] = {"\n\nUser:"};
constexpr absl::string_view kBobStops[] = {"\n\nBob:", "\nBob:"};

constexpr ChatTemplate kTemplates[] = {
    {.name = "official",
     .help = "the official RWKV-7 releases of 2026-08",
     .user = "User",
     .assistant = "Assistant",
     .roles = kUserRoles,
     .before_system = "System: ",
     .openings = {.by_default = " <think></think>\n",
                  .thinking_off = " <think></think>\n",
                  .thinking_off_short = nullptr,
                  .thinking_on = " <think",
                  .tool_call = nullptr},
     .has_tools = true,
     .has_effort = false,
     .is_ordered = false,
     .cleans_text = false,
     .stop_sequences = kUserStops,
     .write_messages = WriteOfficialMessages},
    {.name = "g1",
     .help = "BlinkDL's format of RWKV-7 G1",
     .user = "User",
     .assistant = "Assistant",
     .roles = kUserRoles,
     .before_system = "System: ",
     .openings = {.by_default = "",
                  .thinking_off = " <think>\n</think",
                  .thinking_off_short = " <think></think",
                  .thinking_on = " <think",
                  .tool_call = " ```json"},
     .has_tools = true,
     .has_effort = true,
     .is_ordered = true,
     .cleans_text = true,
     .stop_sequences = kUserStops,
     .write_messages = WriteCleanMessages},
    {.name = "world",
     .help = "World models, and the GGUF files of llama.cpp",
     .user = "User",
     .assistant = "Assistant",
     .roles = kUserRoles,
     .before_system = "System: ",
     .openings = {.by_default = "",
                  .thinking_off = " <think>\n</think>",
                  .thinking_off_short = nullptr,
                  .thinking_on = " <think>",
                  .tool_call = nullptr},
     .has_tools = false,
     .has_effort = false,
     .is_ordered = false,
     .cleans_text = false,
     .stop_sequences = kUserStops,
     .write_messages = WriteWorldMessages},
    {.name = "raven",
     .help = "Raven models: Bob and Alice",
     .user = "Bob",
     .assistant = "Alice",
     .roles = kBobRoles,
     .before_system = "",
     .openings = {.by_default = "",
                  .thinking_off = "",  // it never thinks
                  .thinking_off_short = nullptr,
                  .thinking_on = nullptr,
                  .tool_call = nullptr},
     .has_tools = false,
     .has_effort = false,
     .is_ordered = true,
     .cleans_text = true,
     .stop_sequences = kBobStops,
     .write_messages = WriteCleanMessages},
};

// Writes the start of the answer, and returns the part of it that follows
// "Assistant:".
absl::string_view WriteOpening(const ChatTemplate& chat_template,
                               const ChatConversation& conversation,
                               ChatWriter* writer) {
  const char* opening = OpeningOf(chat_template, conversation);
  if (opening == nullptr) opening = chat_template.openings.by_default;
  writer->EndStable();
  writer->AddTemplate(absl::StrCat(chat_template.assistant, ":", opening));
  return absl::StripPrefix(opening, " ");
}

}  // namespace

absl::Span<const ChatTemplate> AllChatTemplates() { return kTemplates; }

std::string ChatTemplateNames() {
  return absl::StrJoin(kTemplates, ", ",
                       [](std::string* out, const ChatTemplate& chat_template) {
                         absl::StrAppend(out, chat_template.name);
                       });
}

absl::StatusOr<const ChatTemplate*> FindChatTemplate(absl::string_view name) {
  const auto* const found = std::find_if(
      std::begin(kTemplates), std::end(kTemplates),
      [name](const ChatTemplate& known) { return known.name == name; });
  if (found != std::end(kTemplates)) return found;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown chat template ", Quoted(name), "; expected ",
                   "one of ", ChatTemplateNames()));
}

const char* OpeningOf(const ChatTemplate& chat_template,
                      const ChatConversation& conversation) {
  const ChatTemplate::Openings& openings = chat_template.openings;
  if (conversation.require_tool_call) return openings.tool_call;
  switch (conversation.thinking) {
    case ChatThinking::kDefault:
      return openings.by_default;
    case ChatThinking::kOff:
      return openings.thinking_off;
    case ChatThinking::kOffShort:
      return openings.thinking_off_short;
    case ChatThinking::kOn:
      return openings.thinking_on;
  }
  return nullptr;
}

absl::StatusOr<RenderedChat> RenderChat(const ChatTemplate& chat_template,
                                        const ChatConversation& conversation) {
  RWKVD_RETURN_IF_ERROR(CheckConversation(chat_template, conversation));
  return RenderUncheckedChat(chat_template, conversation);
}

absl::StatusOr<RenderedChat> RenderUncheckedChat(
    const ChatTemplate& chat_template, const ChatConversation& conversation) {
  ChatWriter writer;
  RWKVD_RETURN_IF_ERROR(
      chat_template.write_messages(chat_template, conversation, &writer));
  absl::string_view answer_start;
  if (conversation.add_generation_prompt) {
    answer_start = WriteOpening(chat_template, conversation, &writer);
  }
  RenderedChat chat = writer.Take();
  chat.roles = chat_template.roles;
  chat.answer_start = std::string(answer_start);
  return chat;
}

}  // namespace rwkvd
