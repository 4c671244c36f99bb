// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_
#define RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// Write what a GGUF file contains in addition to the weights into `directory`:
// its tokens to rwkv_vocab.txt, a World vocabulary, and its chat template to
// chat_template.jinja. Return the name of the file; nothing if `source`
// contains no tokens, or no template. Errors are those of ParseGgufTokens and
// of the operating system.
absl::StatusOr<std::optional<std::string>> WriteEmbeddedTokens(
    const TensorFile& source, const std::string& directory);
absl::StatusOr<std::optional<std::string>> WriteEmbeddedTemplate(
    const TensorFile& source, const std::string& directory);

// The text of a World vocabulary with these tokens, by id. Empty ones, which
// are unused, are left out, except for the last one if there are so many behind
// the last token that the vocabulary would seem to be incomplete.
std::string WorldVocabularyText(absl::Span<const std::string> tokens);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_EMBEDDED_TEXT_H_
