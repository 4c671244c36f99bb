// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
#define RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Loads the tokenizer at `path`: a World vocabulary (*.txt), a tokenizer.json
// (*.json), or the word "bytes" for ByteTokenizer. Error
// messages name the file, and the line or field. Returns InvalidArgument for
// malformed files and other names, and the errors of MappedFile::Open.
absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(
    const std::string& path);

// Builds the tokenizer of a tokenizer.json. Returns InvalidArgument with `name`
// and the field.
absl::StatusOr<std::unique_ptr<const Tokenizer>> TokenizerOfJson(
    absl::string_view text, absl::string_view name);

// Loads the tokenizer in a model's `directory`: the file `rwkv_vocab*.txt`,
// `tokenizer.json` or `*tokenizer.json`, or "bytes" if there is no such file
// and the model's vocabulary has 256 tokens. Returns NotFound that lists the
// patterns if there is no tokenizer, and InvalidArgument that lists the files
// if there are several.
absl::StatusOr<std::unique_ptr<const Tokenizer>> FindTokenizer(
    const std::string& directory, int64_t model_vocab_size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
