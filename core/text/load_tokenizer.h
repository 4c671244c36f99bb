// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
#define RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/gguf_tokens.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Which tokenizer a model is to have. A value.
struct TokenizerChoice {
  // "world", "20b", "bytes", "none", or the path of a World vocabulary (*.txt)
  // or of a tokenizer.json (*.json). Empty: the one in the model's folder.
  std::string name;
  std::string directory;  // the model's folder
  int64_t model_vocab_size = 0;
  // The vocabulary that the model's file contains, a GGUF file, and its path;
  // without tokens if there is none. It is preferred to those in the folder.
  GgufVocabulary embedded = {};
  std::string file = {};
  // Folders with the vocabularies of KnownVocabulary.
  std::vector<std::string> share_folders;
};

// A tokenizer and where it comes from, for the log. A value.
struct ChosenTokenizer {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::string source;  // a path, or its name
  // Whether the model comes without one, so that it was chosen by the size of
  // the vocabulary.
  bool is_guess = false;
};

// Loads the chosen tokenizer. Without a name, that is the one in the model's
// file, or the tokenizer file in the folder: `rwkv_vocab*.txt`,
// `tokenizer.json` or `*tokenizer.json`. Several files are one if they decode
// all tokens alike; tokenizer.json is then preferred, since it also knows which
// texts are special tokens. If there is no file, bytes or a KnownVocabulary are
// chosen by the size of the model's vocabulary. Returns NotFound that says
// where it has looked if there is no tokenizer, InvalidArgument that lists the
// files if several differ, and the errors of LoadTokenizer.
absl::StatusOr<ChosenTokenizer> ChooseTokenizer(const TokenizerChoice& choice);

// Loads the tokenizer at `path`: a World vocabulary (*.txt), a tokenizer.json
// (*.json), or the word "bytes" for ByteTokenizer. Error messages name the
// file, and the line or field. Returns InvalidArgument for malformed files and
// other names, and the errors of MappedFile::Open.
absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(
    const std::string& path);

// Builds the tokenizer of a tokenizer.json. Returns InvalidArgument with `name`
// and the field.
absl::StatusOr<std::unique_ptr<const Tokenizer>> TokenizerOfJson(
    absl::string_view text, absl::string_view name);

// Returns InvalidArgument unless the tokenizer can belong to a model with this
// vocabulary: it has no ids beyond the model's, and lists almost as many, used
// or not. Models may have some more, see PaddedVocabSize. A World vocabulary
// must be whole for a model of its size.
absl::Status CheckFit(const Tokenizer& tokenizer, int64_t model_vocab_size);

// The most ids that a model of a vocabulary of `size` tokens has, because
// training code rounds their number up to a multiple of a power of two.
int64_t PaddedVocabSize(int64_t size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
