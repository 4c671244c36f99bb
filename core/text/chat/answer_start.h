// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_ANSWER_START_H_
#define RWKVD_CORE_TEXT_CHAT_ANSWER_START_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "core/text/chat/chat_template.h"

namespace rwkvd {

// More bytes than any template writes as the start of an answer.
inline constexpr size_t kMaxAnswerStartBytes = 64;

// The start of an answer at the end of `prompt`, if the prompt ends as the
// template ends it: with "Assistant:" at the beginning of a line, and one of
// the openings of the template, such as " <think". Otherwise empty. The last
// kMaxAnswerStartBytes bytes of a prompt suffice.
absl::string_view AnswerStartAtEnd(const ChatTemplate& chat_template,
                                   absl::string_view prompt);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_ANSWER_START_H_
