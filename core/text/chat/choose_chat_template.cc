// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/choose_chat_template.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/base/mapped_file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// The files of a folder that may contain a template, the preferred one first.
constexpr absl::string_view kTemplateFiles[] = {
    "chat_template.jinja", "chat_template.json", "tokenizer_config.json"};

// The SHA-256 of a Jinja text that a built-in template renders like.
struct KnownText {
  absl::string_view sha256;
  absl::string_view name;
};
constexpr KnownText kKnownTexts[] = {
    // The official releases. Two versions, which differ in the marks of an
    // answer that training needs, and in the default of add_generation_prompt.
    {"a052d9b85c67aaac017063fdcd13b507012cde9e95196b8d01362277f888bd5f",
     "official"},
    {"ee8592dd77d1a46e026d23aa6a735a2dfe0f33839ea0d6c9cd1c559434fc0385",
     "official"},
    // llama.cpp's template of its converter for RWKV.
    {"e70723034f0928096207d99b2ec4678950361f290f5341c017d957f88b196935",
     "world"},
};
// What llama.cpp's converter wrote before: a name.
constexpr char kWorldName[] = "rwkv-world";

std::string Sha256Of(absl::string_view text) {
  Sha256 sha256;
  sha256.Update(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(text.data()), text.size()));
  return sha256.Hex();
}

// What to do about an error.
std::string Advice() {
  return absl::StrCat("set --chat_template to one of ", ChatTemplateNames());
}

// `status`, which is not OK, with Advice.
absl::Status WithAdvice(const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; ", Advice()));
}

// The template in a file, if there are both.
absl::StatusOr<std::optional<std::string>> ReadTemplate(
    const std::string& path) {
  const auto file = MappedFile::Open(path);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RWKVD_RETURN_IF_ERROR(file.status());
  const auto bytes = (*file)->bytes();
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()),
                               bytes.size());
  if (absl::EndsWith(path, ".json")) return ChatTemplateInJson(text, path);
  return std::string(text);
}

absl::StatusOr<ChosenChatTemplate> ChooseInFolder(
    const std::string& directory) {
  for (const absl::string_view name : kTemplateFiles) {
    const std::string path = absl::StrCat(directory, "/", name);
    RWKVD_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                           ReadTemplate(path));
    if (!text.has_value()) continue;
    RWKVD_ASSIGN_OR_RETURN(const ChatTemplate* const chat_template,
                           RecognizeChatTemplate(*text, path));
    return ChosenChatTemplate{chat_template, path};
  }
  return absl::NotFoundError(absl::StrCat("no chat template: looked for ",
                                          absl::StrJoin(kTemplateFiles, ", "),
                                          " in ", directory));
}

absl::StatusOr<ChosenChatTemplate> ChooseTemplateOfModel(
    const ChatTemplateChoice& choice) {
  if (!choice.embedded.has_value()) return ChooseInFolder(choice.directory);
  RWKVD_ASSIGN_OR_RETURN(const ChatTemplate* const chat_template,
                         RecognizeChatTemplate(*choice.embedded, choice.file));
  return ChosenChatTemplate{chat_template, choice.file};
}

}  // namespace

absl::StatusOr<std::optional<std::string>> ChatTemplateTextOfModel(
    const ChatTemplateChoice& choice) {
  if (choice.embedded.has_value()) return std::string(*choice.embedded);
  for (const absl::string_view name : kTemplateFiles) {
    RWKVD_ASSIGN_OR_RETURN(
        std::optional<std::string> text,
        ReadTemplate(absl::StrCat(choice.directory, "/", name)));
    if (text.has_value()) return text;
  }
  return std::nullopt;
}

absl::StatusOr<const ChatTemplate*> RecognizeChatTemplate(
    absl::string_view text, absl::string_view source) {
  const std::string lines = absl::StrReplaceAll(text, {{"\r\n", "\n"}});
  const absl::string_view stripped = absl::StripAsciiWhitespace(lines);
  if (stripped == kWorldName) return FindChatTemplate("world");
  const std::string sha256 = Sha256Of(stripped);
  for (const KnownText& known : kKnownTexts) {
    if (known.sha256 == sha256) return FindChatTemplate(known.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(source, ": unknown chat template (", text.size(),
                   " bytes, SHA-256 ", sha256, ")"));
}

absl::StatusOr<std::optional<std::string>> ChatTemplateInJson(
    absl::string_view json, absl::string_view source) {
  RWKVD_ASSIGN_OR_RETURN(const Json document, ParseJson(json, source));
  if (!document.is_object()) return std::nullopt;
  const Json value = document.value("chat_template", Json());
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return std::nullopt;
  for (const Json& named : value.is_array() ? value : Json::array()) {
    if (named.is_object() && named.value("name", Json()) == "default" &&
        named.value("template", Json()).is_string()) {
      return named.at("template").get<std::string>();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(source, ": chat_template: expected a text, or a list of ",
                   "named templates with one that is named \"default\""));
}

absl::StatusOr<ChosenChatTemplate> ChooseChatTemplate(
    const ChatTemplateChoice& choice) {
  if (!choice.name.empty()) {
    RWKVD_ASSIGN_OR_RETURN(const ChatTemplate* const chat_template,
                           FindChatTemplate(choice.name));
    return ChosenChatTemplate{chat_template, choice.name};
  }
  absl::StatusOr<ChosenChatTemplate> chosen = ChooseTemplateOfModel(choice);
  if (chosen.ok()) return chosen;
  return WithAdvice(chosen.status());
}

}  // namespace rwkvd
