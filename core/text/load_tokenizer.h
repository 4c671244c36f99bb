// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
#define RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Loads the tokenizer that `path` names: a World vocabulary (*.txt), a
// byte-level BPE tokenizer.json (*.json), or the word "bytes", for which token
// ids are byte values. The message of an error names file and line.
absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(
    const std::string& path);

// Finds the tokenizer beside a model, in `directory`: one `rwkv_vocab*.txt`,
// `tokenizer.json` or `*tokenizer.json`; where there is none and the model's
// vocabulary is 256, "bytes". NotFound says what was looked for; with several
// candidates InvalidArgument names them.
absl::StatusOr<std::unique_ptr<const Tokenizer>> FindTokenizer(
    const std::string& directory, int64_t model_vocab_size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_LOAD_TOKENIZER_H_
