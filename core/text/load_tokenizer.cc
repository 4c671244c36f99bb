// SPDX-License-Identifier: Apache-2.0
#include "core/text/load_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/byte_tokenizer.h"
#include "core/text/known_vocabulary.h"
#include "core/text/null_tokenizer.h"
#include "core/text/tokenizer_json.h"
#include "core/text/world_tokenizer.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr char kPatterns[] =
    "rwkv_vocab*.txt, tokenizer.json or *tokenizer.json";
constexpr char kPreferred[] = "tokenizer.json";
constexpr char kBytes[] = "bytes";
constexpr char kNone[] = "none";
constexpr absl::string_view kWorld = "world";
constexpr int64_t kNumBytes = 256;

// Training code rounds the size of a vocabulary up to a multiple of at most
// this number.
constexpr int64_t kMaxPaddedMultiple = 256;

bool LooksLikeTokenizer(absl::string_view name) {
  if (absl::StartsWith(name, ".")) return false;
  return absl::EndsWith(name, "tokenizer.json") ||
         (absl::StartsWith(name, "rwkv_vocab") && absl::EndsWith(name, ".txt"));
}

// Returns the names of the files that look like tokenizers: tokenizer.json
// first, then the others in order.
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
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::pair(a != kPreferred, a) < std::pair(b != kPreferred, b);
  });
  return names;
}

// Returns the first id that the two decode differently, if there is one.
std::optional<TokenId> FirstDifference(const Tokenizer& a, const Tokenizer& b) {
  const auto size = static_cast<TokenId>(std::max(a.size(), b.size()));
  for (TokenId id = 0; id < size; ++id) {
    if (a.TokenBytes(id) != b.TokenBytes(id)) return id;
  }
  return std::nullopt;
}

absl::Status Differ(const std::string& directory,
                    const std::vector<std::string>& names, TokenId id) {
  return absl::InvalidArgumentError(absl::StrCat(
      directory, ": expected one tokenizer, got ", names.size(),
      " that decode token ", id, " differently: ", absl::StrJoin(names, ", ")));
}

// Loads the files `names` of the folder, which must decode all tokens alike.
// Returns the first of them.
absl::StatusOr<ChosenTokenizer> LoadAlike(
    const std::string& directory, const std::vector<std::string>& names) {
  ChosenTokenizer first;
  for (const std::string& name : names) {
    const std::string path = (fs::path(directory) / name).string();
    RWKVD_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(path));
    if (first.tokenizer == nullptr) {
      first = {std::move(tokenizer), path};
      continue;
    }
    const auto id = FirstDifference(*first.tokenizer, *tokenizer);
    if (id.has_value()) return Differ(directory, names, *id);
  }
  return first;
}

absl::StatusOr<ChosenTokenizer> LoadKnown(
    const KnownVocabulary& vocabulary,
    const std::vector<std::string>& share_folders) {
  RWKVD_ASSIGN_OR_RETURN(const std::string path,
                         PathOf(vocabulary, share_folders));
  RWKVD_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(path));
  return ChosenTokenizer{std::move(tokenizer), path};
}

// Chooses by the size of the model's vocabulary.
absl::StatusOr<ChosenTokenizer> GuessTokenizer(const TokenizerChoice& choice) {
  const int64_t size = choice.model_vocab_size;
  if (size == kNumBytes) {
    return ChosenTokenizer{std::make_unique<const ByteTokenizer>(), kBytes,
                           /*is_guess=*/true};
  }
  const std::string none = absl::StrCat(
      choice.directory, ": found no tokenizer: expected ", kPatterns,
      ", since the vocabulary of the model has ", size, " tokens");
  const KnownVocabulary* const known = FindKnownVocabulary(size);
  if (known == nullptr) return absl::NotFoundError(none);
  absl::StatusOr<ChosenTokenizer> chosen =
      LoadKnown(*known, choice.share_folders);
  if (chosen.ok()) {
    chosen->is_guess = true;
    return chosen;
  }
  return absl::Status(chosen.status().code(),
                      absl::StrCat(none, "; ", chosen.status().message()));
}

absl::StatusOr<ChosenTokenizer> FindTokenizer(const TokenizerChoice& choice) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         Candidates(choice.directory));
  if (names.empty()) return GuessTokenizer(choice);
  return LoadAlike(choice.directory, names);
}

// Builds the tokenizer in the model's file.
absl::StatusOr<ChosenTokenizer> LoadEmbedded(const TokenizerChoice& choice) {
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> tokens,
                         ParseGgufTokens(choice.embedded, choice.file));
  RWKVD_ASSIGN_OR_RETURN(auto tokenizer, WorldTokenizer::FromTokens(
                                             std::move(tokens), choice.file));
  return ChosenTokenizer{std::move(tokenizer), choice.file};
}

}  // namespace

absl::StatusOr<ChosenTokenizer> ChooseTokenizer(const TokenizerChoice& choice) {
  if (choice.name.empty()) {
    return choice.embedded.tokens.empty() ? FindTokenizer(choice)
                                          : LoadEmbedded(choice);
  }
  if (choice.name == kNone) {
    return ChosenTokenizer{
        std::make_unique<const NullTokenizer>(choice.model_vocab_size), kNone};
  }
  const KnownVocabulary* const known = FindKnownVocabulary(choice.name);
  if (known != nullptr) return LoadKnown(*known, choice.share_folders);
  RWKVD_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(choice.name));
  return ChosenTokenizer{std::move(tokenizer), choice.name};
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(
    const std::string& path) {
  if (path == kBytes) return std::make_unique<const ByteTokenizer>();
  const bool is_world = absl::EndsWith(path, ".txt");
  if (!is_world && !absl::EndsWith(path, ".json")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer ", path,
        ": expected a World vocabulary (*.txt), a tokenizer.json (*.json), or "
        "\"world\", \"20b\", \"bytes\" or \"none\""));
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

int64_t PaddedVocabSize(int64_t size) {
  return (size + kMaxPaddedMultiple - 1) / kMaxPaddedMultiple *
         kMaxPaddedMultiple;
}

absl::Status CheckFit(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  const int64_t size = tokenizer.size();
  if (size > model_vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the tokenizer's largest id, ", size - 1,
        ", does not fit the model's vocabulary of ", model_vocab_size));
  }
  const KnownVocabulary& world = *FindKnownVocabulary(kWorld);
  if (model_vocab_size == world.model_vocab_size && size < world.num_tokens &&
      BeginsAsWorld(tokenizer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer has only ", size, " of the ",
                     world.num_tokens, " tokens of the vocabulary \"",
                     world.name, "\", with which it begins: it was cut off"));
  }
  const int64_t listed = tokenizer.num_listed_ids();
  if (model_vocab_size <= PaddedVocabSize(listed)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the tokenizer has only ", listed,
                   " tokens, expected nearly as many as the model's "
                   "vocabulary of ",
                   model_vocab_size,
                   ": it belongs to another model or is "
                   "incomplete"));
}

}  // namespace rwkvd
