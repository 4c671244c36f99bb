// SPDX-License-Identifier: Apache-2.0
#include "service/chat_template_text.h"

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/text/chat/chat_jinja.h"
#include "core/text/chat/chat_template.h"
#include "core/text/chat/choose_chat_template.h"
#include "service/log.h"

namespace rwkvd {
namespace {

constexpr char kDefaultTemplate[] = "g1";

absl::StatusOr<std::optional<std::string>> TextOfModel(const TensorFile& file) {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<absl::string_view> embedded,
                         file.chat_template());
  RWKVD_ASSIGN_OR_RETURN(std::optional<std::string> text,
                         ChatTemplateTextOfModel({.directory = file.directory(),
                                                  .embedded = embedded,
                                                  .file = file.path()}));
  // Old GGUF files have the name of a template in place of its text.
  if (!text.has_value() || text->find('{') != text->npos) return text;
  RWKVD_ASSIGN_OR_RETURN(const ChatTemplate* const named,
                         RecognizeChatTemplate(*text, file.path()));
  return std::string(JinjaOf(*named));
}

}  // namespace

std::string ChatTemplateTextFor(const TensorFile& file) {
  const absl::StatusOr<std::optional<std::string>> text = TextOfModel(file);
  if (!text.ok()) {
    LogWarning(absl::StrCat("the chat template of the model cannot be used: ",
                            text.status().message()));
  }
  if (!text.ok() || !text->has_value()) return DefaultChatTemplateText();
  return WithoutGenerationTags(**text);
}

std::string DefaultChatTemplateText() {
  const auto chosen = FindChatTemplate(kDefaultTemplate);
  RWKVD_CHECK(chosen.ok());
  return std::string(JinjaOf(**chosen));
}

}  // namespace rwkvd
