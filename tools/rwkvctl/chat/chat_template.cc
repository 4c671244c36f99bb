// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/chat_template.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

constexpr char kBreak[] = "\n\n";  // ends a message

constexpr ChatTemplate kTemplates[] = {
    {"world", "User", "Assistant", "System: ", "",
     "User and Assistant: World and G1 models"},
    {"think", "User", "Assistant", "System: ", " <think",
     "as world, but answers start with thinking: G1 models"},
    {"no-think", "User", "Assistant", "System: ", " <think>\n</think",
     "as world, but answers skip the thinking: G1 models, faster"},
    {"raven", "Bob", "Alice", "", "", "Bob and Alice: Raven models"},
};

}  // namespace

std::string DescribeTemplates() {
  std::string text;
  for (const ChatTemplate& chat_template : kTemplates) {
    absl::StrAppend(&text, "  ", chat_template.name,
                    std::string(10 - chat_template.name.size(), ' '),
                    chat_template.help, "\n");
  }
  return text;
}

absl::StatusOr<const ChatTemplate*> FindTemplate(absl::string_view name) {
  for (const ChatTemplate& chat_template : kTemplates) {
    if (chat_template.name == name) return &chat_template;
  }
  const auto append_name = [](std::string* out,
                              const ChatTemplate& chat_template) {
    absl::StrAppend(out, chat_template.name);
  };
  return absl::InvalidArgumentError(
      absl::StrCat("unknown template ", Quoted(name), "; expected one of ",
                   absl::StrJoin(kTemplates, ", ", append_name)));
}

std::string CleanText(absl::string_view text) {
  std::string clean;
  for (const char c : absl::StripAsciiWhitespace(text)) {
    if (c == '\r') continue;
    if (c == '\n' && absl::EndsWith(clean, "\n")) continue;
    clean.push_back(c);
  }
  return clean;
}

std::string RenderTurns(const ChatTemplate& chat_template,
                        const Transcript& transcript) {
  std::vector<std::string> parts;
  if (!transcript.system.empty()) {
    parts.push_back(absl::StrCat(chat_template.before_system,
                                 CleanText(transcript.system)));
  }
  for (const Turn& turn : transcript.turns) {
    parts.push_back(
        absl::StrCat(chat_template.user, ": ", CleanText(turn.user)));
    parts.push_back(absl::StrCat(chat_template.assistant, ":", turn.assistant));
  }
  return absl::StrJoin(parts, kBreak);
}

std::string RenderPrompt(const ChatTemplate& chat_template,
                         const Transcript& transcript, absl::string_view user) {
  std::string prompt = RenderTurns(chat_template, transcript);
  if (!prompt.empty()) prompt += kBreak;
  absl::StrAppend(&prompt, chat_template.user, ": ", CleanText(user), kBreak,
                  chat_template.assistant, ":", chat_template.opening);
  return prompt;
}

std::vector<std::string> StopStrings(const ChatTemplate& chat_template) {
  return {absl::StrCat("\n\n", chat_template.user, ":"),
          absl::StrCat("\n", chat_template.user, ":")};
}

}  // namespace rwkvd
