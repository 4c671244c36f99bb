// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/companions.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "core/text/known_vocabulary.h"
#include "tools/rwkv_convert/embedded_text.h"
#include "tools/rwkv_convert/output_directory.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

// Whether ChooseTokenizer (core/text/load_tokenizer.h) looks for this name.
bool IsTokenizer(absl::string_view name) {
  if (absl::StartsWith(name, ".")) return false;
  return absl::EndsWith(name, "tokenizer.json") ||
         (absl::StartsWith(name, "rwkv_vocab") && absl::EndsWith(name, ".txt"));
}

// Whether ChooseChatTemplate (core/text/chat/choose_chat_template.h) looks for
// this name.
bool MayContainTemplate(absl::string_view name) {
  return name == "chat_template.jinja" || name == "chat_template.json" ||
         name == "tokenizer_config.json";
}

absl::Status CopyFile(const std::string& from, const std::string& to) {
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(from));
  const absl::Span<const std::byte> bytes = file->bytes();
  return ReplaceFile(
      to, absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                            bytes.size()));
}

// Copies the files whose names are chosen, and returns these, sorted.
absl::StatusOr<std::vector<std::string>> CopyFiles(
    const std::string& from, const std::string& to,
    bool (*is_chosen)(absl::string_view name)) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(from, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;  // a dangling link is not a file
    const std::string name = at->path().filename().string();
    if (is_chosen(name) && at->is_regular_file(ignored)) {
      names.push_back(name);
    }
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot list ", from));
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    RWKVD_RETURN_IF_ERROR(CopyFile((fs::path(from) / name).string(),
                                   (fs::path(to) / name).string()));
  }
  return names;
}

// Writes the tokenizer of the model and returns the names of its files.
absl::StatusOr<std::vector<std::string>> WriteTokenizer(
    const TensorFile& source, const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const auto written,
                         WriteEmbeddedTokens(source, directory));
  if (written.has_value()) return std::vector<std::string>{*written};
  return CopyTokenizers(source.directory(), directory);
}

// The same for its chat template.
absl::StatusOr<std::vector<std::string>> WriteChatTemplate(
    const TensorFile& source, const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const auto written,
                         WriteEmbeddedTemplate(source, directory));
  if (written.has_value()) return std::vector<std::string>{*written};
  return CopyChatTemplates(source.directory(), directory);
}

// A model whose vocabulary is the 256 bytes, or one that rwkvd has at hand,
// needs no tokenizer file.
bool NeedsTokenizer(const TensorFile& source) {
  constexpr int64_t kNumBytes = 256;
  const Tensor* embedding = source.Find("emb.weight");
  return embedding != nullptr && !embedding->shape.empty() &&
         embedding->shape[0] != kNumBytes &&
         FindKnownVocabulary(embedding->shape[0]) == nullptr;
}

}  // namespace

absl::StatusOr<Companions> WriteCompanions(const TensorFile& source,
                                           const std::string& directory) {
  Companions companions;
  RWKVD_ASSIGN_OR_RETURN(companions.names, WriteTokenizer(source, directory));
  companions.lacks_tokenizer =
      companions.names.empty() && NeedsTokenizer(source);
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> templates,
                         WriteChatTemplate(source, directory));
  companions.names.insert(companions.names.end(), templates.begin(),
                          templates.end());
  if (source.has_embedding_norm()) return companions;
  RWKVD_RETURN_IF_ERROR(
      ReplaceFile(absl::StrCat(directory, "/", kConfigFile), kFusedNormConfig));
  companions.names.push_back(kConfigFile);
  return companions;
}

absl::StatusOr<std::vector<std::string>> CopyTokenizers(const std::string& from,
                                                        const std::string& to) {
  return CopyFiles(from, to, IsTokenizer);
}

absl::StatusOr<std::vector<std::string>> CopyChatTemplates(
    const std::string& from, const std::string& to) {
  return CopyFiles(from, to, MayContainTemplate);
}

}  // namespace rwkvd
