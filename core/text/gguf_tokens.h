// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_GGUF_TOKENS_H_
#define RWKVD_CORE_TEXT_GGUF_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The vocabulary of a GGUF file, as it is written there.
struct GgufVocabulary {
  absl::string_view model;  // "rwkv"
  // By id, each as Python prints its bytes.
  absl::Span<const absl::string_view> tokens;
  // By id, of the same size.
  absl::Span<const int32_t> types;
};

// Returns the bytes of each token, by id, for WorldTokenizer::FromTokens.
// They are empty for control and unused tokens, which have no place in texts.
// Returns InvalidArgument, with `name` and the token, for another model than
// "rwkv", another type of token, or a malformed one.
absl::StatusOr<std::vector<std::string>> ParseGgufTokens(
    const GgufVocabulary& vocabulary, absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_GGUF_TOKENS_H_
