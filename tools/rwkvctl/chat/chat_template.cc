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

constexpr char kBreak[] = "\n\n";  // ends what somebody says

constexpr ChatTemplate kTemplates[] = {
    {"world", "User", "Assistant", "System: ", "",
     "User and Assistant: World and G1 models"},
    {"think", "User", "Assistant", "System: ", " <think",
     "the same, and the answer begins with thinking: G1 models"},
    {"no-think", "User", "Assistant", "System: ", " <think>\n</think",
     "the same, and the thinking is left out: G1 models, faster"},
    {"raven", "Bob", "Alice", "", "", "Bob and Alice: Raven models"},
};

}  // namespace

std::string DescribeTemplates() {
  std::string text;
  for (const ChatTemplate& style : kTemplates) {
    absl::StrAppend(&text, "  ", style.name,
                    std::string(10 - style.name.size(), ' '), style.help, "\n");
  }
  return text;
}

absl::StatusOr<const ChatTemplate*> FindTemplate(absl::string_view name) {
  for (const ChatTemplate& style : kTemplates) {
    if (style.name == name) return &style;
  }
  const auto append_name = [](std::string* out, const ChatTemplate& style) {
    absl::StrAppend(out, style.name);
  };
  return absl::InvalidArgumentError(
      absl::StrCat("no template ", Quoted(name), "; there are ",
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

std::string RenderTurns(const ChatTemplate& style,
                        const Transcript& transcript) {
  std::vector<std::string> parts;
  if (!transcript.system.empty()) {
    parts.push_back(
        absl::StrCat(style.before_system, CleanText(transcript.system)));
  }
  for (const Turn& turn : transcript.turns) {
    parts.push_back(absl::StrCat(style.user, ": ", CleanText(turn.user)));
    parts.push_back(absl::StrCat(style.assistant, ":", turn.assistant));
  }
  return absl::StrJoin(parts, kBreak);
}

std::string RenderPrompt(const ChatTemplate& style,
                         const Transcript& transcript, absl::string_view user) {
  std::string prompt = RenderTurns(style, transcript);
  if (!prompt.empty()) prompt += kBreak;
  absl::StrAppend(&prompt, style.user, ": ", CleanText(user), kBreak,
                  style.assistant, ":", style.opening);
  return prompt;
}

std::vector<std::string> StopStrings(const ChatTemplate& style) {
  return {absl::StrCat("\n\n", style.user, ":"),
          absl::StrCat("\n", style.user, ":")};
}

}  // namespace rwkvd
