// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/answer_start.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {

absl::string_view AnswerStartAtEnd(const ChatTemplate& chat_template,
                                   absl::string_view prompt) {
  const ChatTemplate::Openings& openings = chat_template.openings;
  for (const char* const opening :
       {openings.by_default, openings.thinking_off, openings.thinking_off_short,
        openings.thinking_on, openings.tool_call}) {
    if (opening == nullptr) continue;
    const std::string start =
        absl::StrCat(chat_template.assistant, ":", opening);
    if (!absl::EndsWith(prompt, start)) continue;
    const size_t before = prompt.size() - start.size();
    if (before == 0 || prompt[before - 1] == '\n') return prompt.substr(before);
  }
  return {};
}

}  // namespace rwkvd
