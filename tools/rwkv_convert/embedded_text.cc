// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/embedded_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "core/text/gguf_tokens.h"
#include "core/text/load_tokenizer.h"

namespace rwkvd {
namespace {

constexpr char kVocabularyFile[] = "rwkv_vocab.txt";
constexpr char kTemplateFile[] = "chat_template.jinja";

// `bytes` as a Python literal.
std::string BytesLiteral(absl::string_view bytes) {
  std::string literal = "b'";
  for (const char c : bytes) {
    if (c == '\'' || c == '\\') {
      absl::StrAppend(&literal, "\\", absl::string_view(&c, 1));
    } else if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      literal += c;
    } else {
      absl::StrAppendFormat(&literal, "\\x%02x", static_cast<unsigned char>(c));
    }
  }
  return literal + "'";
}

}  // namespace

std::string WorldVocabularyText(absl::Span<const std::string> tokens) {
  std::string text;
  int64_t num_used = 0;  // ids up to the last used one
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    num_used = static_cast<int64_t>(id) + 1;
    absl::StrAppend(&text, id, " ", BytesLiteral(tokens[id]), " ",
                    tokens[id].size(), "\n");
  }
  // Without this line, the vocabulary would seem to belong to another model.
  const auto listed = static_cast<int64_t>(tokens.size());
  if (listed > PaddedVocabSize(num_used)) {
    absl::StrAppend(&text, listed - 1, " b'' 0\n");
  }
  return text;
}

absl::StatusOr<std::optional<std::string>> WriteEmbeddedTokens(
    const TensorFile& source, const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const auto tokenizer, source.embedded_tokenizer());
  if (tokenizer.tokens.empty()) return std::nullopt;
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<std::string> tokens,
      ParseGgufTokens({tokenizer.model, tokenizer.tokens, tokenizer.types},
                      source.path()));
  RWKVD_RETURN_IF_ERROR(
      ReplaceFile(absl::StrCat(directory, "/", kVocabularyFile),
                  WorldVocabularyText(tokens)));
  return kVocabularyFile;
}

absl::StatusOr<std::optional<std::string>> WriteEmbeddedTemplate(
    const TensorFile& source, const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const auto chat_template, source.chat_template());
  if (!chat_template.has_value()) return std::nullopt;
  RWKVD_RETURN_IF_ERROR(
      ReplaceFile(absl::StrCat(directory, "/", kTemplateFile), *chat_template));
  return kTemplateFile;
}

}  // namespace rwkvd
