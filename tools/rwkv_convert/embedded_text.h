// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_
#define RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// Writes the tokenizer and the chat template of a GGUF file into `directory`:
// its tokens to rwkv_vocab.txt, a World vocabulary, and its chat template to
// chat_template.jinja. Returns the names of the files; none if `source` has
// another format. Errors are those of ParseGgufTokens and of the operating
// system.
absl::StatusOr<std::vector<std::string>> WriteEmbeddedText(
    const TensorFile& source, const std::string& directory);

// The text of a World vocabulary with these tokens, by id. Empty ones, which
// are unused, are left out, except for the last one if there are so many behind
// the last token that the vocabulary would seem to be incomplete.
std::string WorldVocabularyText(absl::Span<const std::string> tokens);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_
