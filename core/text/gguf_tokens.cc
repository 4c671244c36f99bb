// SPDX-License-Identifier: Apache-2.0
#include "core/text/gguf_tokens.h"

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/quote.h"
#include "core/text/python_literal.h"

namespace rwkvd {
namespace {

// enum llama_token_type in llama.cpp.
constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUnused = 5;

absl::StatusOr<std::string> ParseToken(absl::string_view text, int32_t type) {
  if (type == kNormal) return ParsePythonBytes(text);
  if (type == kControl || type == kUnused) return std::string();
  return absl::InvalidArgumentError(absl::StrCat("expected the type ", kNormal,
                                                 ", ", kControl, " or ",
                                                 kUnused, ", got ", type));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseGgufTokens(
    const GgufVocabulary& vocabulary, absl::string_view name) {
  RWKVD_CHECK(vocabulary.tokens.size() == vocabulary.types.size());
  if (vocabulary.model != "rwkv") {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected the tokenizer \"rwkv\", got ",
                     Quoted(vocabulary.model)));
  }
  std::vector<std::string> tokens;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const absl::string_view text = vocabulary.tokens[id];
    absl::StatusOr<std::string> token = ParseToken(text, vocabulary.types[id]);
    if (!token.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": token ", id, ", ",
                                                     Quoted(text), ": ",
                                                     token.status().message()));
    }
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

}  // namespace rwkvd
