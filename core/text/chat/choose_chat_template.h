// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CHOOSE_CHAT_TEMPLATE_H_
#define RWKVD_CORE_TEXT_CHAT_CHOOSE_CHAT_TEMPLATE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/chat/chat_template.h"

namespace rwkvd {

// Which chat template a model is to have. A value.
struct ChatTemplateChoice {
  // The name of a template. Empty: the one of the model.
  std::string name = {};
  std::string directory = {};  // the model's folder
  // The template that the model's file contains, a GGUF file, and its path. It
  // is preferred to those in the folder.
  std::optional<absl::string_view> embedded = {};
  std::string file = {};
};

// A template and where it comes from, for the log. A value.
struct ChosenChatTemplate {
  const ChatTemplate* chat_template = nullptr;
  std::string source;  // a path, or its name
};

// Chooses the named template, or the one that the model comes with: in its
// file, or in chat_template.jinja, chat_template.json or tokenizer_config.json
// of the folder, in this order. Returns NotFound that says where it has looked
// if there is none, InvalidArgument if the template is not a built-in one, or
// the file is malformed, and the errors of MappedFile::Open. All messages name
// --chat_template and the built-in templates.
absl::StatusOr<ChosenChatTemplate> ChooseChatTemplate(
    const ChatTemplateChoice& choice);

// The text of the template that the model comes with, whether it is a built-in
// one or not; nullopt if there is none. Looks where ChooseChatTemplate does,
// and ignores the name. Returns the errors of MappedFile::Open, and
// InvalidArgument if a file is malformed.
absl::StatusOr<std::optional<std::string>> ChatTemplateTextOfModel(
    const ChatTemplateChoice& choice);

// Recognizes the text of a Jinja template, or the name that older converters
// wrote in its place ("rwkv-world"). `source` names it in messages.
//
// A text is recognized if its SHA-256 is known, with LF as line ends and
// without white space at both ends, which editors and converters change. All
// other differences may change prompts, so that a text with them is unknown,
// even if it seems similar. The project contains no Jinja interpreter.
// InvalidArgument if the text is unknown.
absl::StatusOr<const ChatTemplate*> RecognizeChatTemplate(
    absl::string_view text, absl::string_view source);

// Returns the template in a tokenizer_config.json or chat_template.json, if it
// contains one: the text "chat_template", or the one named "default" if that is
// a list of named templates. `source` names the file in messages.
// InvalidArgument if the file is malformed.
absl::StatusOr<std::optional<std::string>> ChatTemplateInJson(
    absl::string_view json, absl::string_view source);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CHOOSE_CHAT_TEMPLATE_H_
