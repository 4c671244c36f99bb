// SPDX-License-Identifier: Apache-2.0
#include "service/open_chat_template.h"

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/text/chat/choose_chat_template.h"
#include "service/log.h"

namespace rwkvd {
namespace {

// The template that the model comes with.
absl::StatusOr<ChosenChatTemplate> ChooseByModel(const TensorFile& file) {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<absl::string_view> embedded,
                         file.chat_template());
  return ChooseChatTemplate({.directory = file.directory(),
                             .embedded = embedded,
                             .file = file.path()});
}

void LogMissing(const absl::Status& status) {
  if (absl::IsNotFound(status)) {
    return LogInfo(absl::StrCat("chat template: none: ", status.message()));
  }
  LogWarning(absl::StrCat("chat template: none: ", status.message()));
}

}  // namespace

absl::StatusOr<const ChatTemplate*> OpenChatTemplate(const Options& options,
                                                     const TensorFile& file,
                                                     bool has_text) {
  if (!has_text) return nullptr;
  if (!options.chat_template.empty()) {
    LogInfo(absl::StrCat("chat template: ", options.chat_template,
                         ", of --chat_template"));
    return FindChatTemplate(options.chat_template);
  }
  const absl::StatusOr<ChosenChatTemplate> chosen = ChooseByModel(file);
  if (!chosen.ok()) {
    LogMissing(chosen.status());
    return nullptr;
  }
  LogInfo(absl::StrCat("chat template: ", chosen->chat_template->name, ", of ",
                       chosen->source));
  return chosen->chat_template;
}

}  // namespace rwkvd
