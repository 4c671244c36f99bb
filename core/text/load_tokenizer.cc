// SPDX-License-Identifier: Apache-2.0
#include "core/text/load_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/byte_tokenizer.h"
#include "core/text/tokenizer_json.h"
#include "core/text/world_tokenizer.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr char kPatterns[] =
    "rwkv_vocab*.txt, tokenizer.json or *tokenizer.json";
constexpr int64_t kNumBytes = 256;

bool LooksLikeTokenizer(absl::string_view name) {
  if (absl::StartsWith(name, ".")) return false;
  return absl::EndsWith(name, "tokenizer.json") ||
         (absl::StartsWith(name, "rwkv_vocab") && absl::EndsWith(name, ".txt"));
}

// Returns the sorted names of the files that look like tokenizers.
absl::StatusOr<std::vector<std::string>> Candidates(
    const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator at(directory, error);
  while (!error && at != fs::directory_iterator()) {
    std::error_code ignored;  // a dangling link is not a file
    const std::string name = at->path().filename().string();
    if (LooksLikeTokenizer(name) && at->is_regular_file(ignored)) {
      names.push_back(name);
    }
    at.increment(error);
  }
  if (error) {
    return absl::ErrnoToStatus(
        error.value(),
        absl::StrCat("cannot look for a tokenizer in ", directory));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(
    const std::string& path) {
  if (path == "bytes") return std::make_unique<const ByteTokenizer>();
  const bool is_world = absl::EndsWith(path, ".txt");
  if (!is_world && !absl::EndsWith(path, ".json")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer ", path,
        ": expected a World vocabulary (*.txt), a tokenizer.json (*.json) or "
        "the word \"bytes\""));
  }
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                         MappedFile::Open(path));
  const absl::string_view text(
      reinterpret_cast<const char*>(file->bytes().data()),
      file->bytes().size());
  if (is_world) return WorldTokenizer::Parse(text, path);
  return TokenizerOfJson(text, path);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> TokenizerOfJson(
    absl::string_view text, absl::string_view name) {
  RWKVD_ASSIGN_OR_RETURN(TokenizerJson parsed, ParseTokenizerJson(text, name));
  if (auto* const bpe = std::get_if<BpeVocabulary>(&parsed)) {
    return std::make_unique<const BpeTokenizer>(std::move(*bpe));
  }
  auto& word_piece = std::get<WordPieceVocabulary>(parsed);
  return WorldTokenizer::FromTokens(std::move(word_piece.token_bytes), name,
                                    word_piece.added);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> FindTokenizer(
    const std::string& directory, int64_t model_vocab_size) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         Candidates(directory));
  if (names.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": expected one tokenizer, got ", names.size(),
                     ": ", absl::StrJoin(names, ", ")));
  }
  if (names.size() == 1) {
    return LoadTokenizer((fs::path(directory) / names[0]).string());
  }
  if (model_vocab_size == kNumBytes) return LoadTokenizer("bytes");
  return absl::NotFoundError(
      absl::StrCat(directory, ": found no tokenizer: expected ", kPatterns,
                   ", or a vocabulary of ", kNumBytes,
                   " tokens for bytes, got ", model_vocab_size));
}

}  // namespace rwkvd
