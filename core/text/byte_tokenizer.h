// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BYTE_TOKENIZER_H_
#define RWKVD_CORE_TEXT_BYTE_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// The tokenizer of byte-level models: the id of a token is the value of its
// byte. There is no end-of-text token.
//
// Owned as Tokenizer says. Thread-safe (immutable).
class ByteTokenizer final : public Tokenizer {
 public:
  absl::string_view TokenBytes(TokenId id) const override;
  int64_t max_bytes_per_token() const override { return 1; }
  int64_t size() const override { return 256; }
  std::optional<TokenId> end_of_text() const override { return std::nullopt; }
  absl::string_view kind() const override { return "bytes"; }

 private:
  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(
      absl::string_view bytes, size_t max_tokens) const override;
  int64_t MaxWorkMemory(absl::string_view) const override { return 0; }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BYTE_TOKENIZER_H_
