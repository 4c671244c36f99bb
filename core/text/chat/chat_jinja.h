// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CHAT_JINJA_H_
#define RWKVD_CORE_TEXT_CHAT_CHAT_JINJA_H_

#include <string>

#include "absl/strings/string_view.h"
#include "core/text/chat/chat_template.h"

namespace rwkvd {

// The Jinja text of a built-in template, for programs that render conversations
// themselves, such as gateways. It renders what RenderChat accepts in the same
// way. `thinking` and `enable_thinking`, which have the same meaning, choose
// the start of the answer.
absl::string_view JinjaOf(const ChatTemplate& chat_template);

// `text`, a Jinja template, without the tags `generation` and `endgeneration`.
// They mark the answers for training, and only Hugging Face's transformers
// knows them. The white space that they remove is still removed.
std::string WithoutGenerationTags(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CHAT_JINJA_H_
