// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_
#define RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/byte_trie.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// The tokenizer of the World models: the longest token that the bytes begin
// with, again and again. Token 0 ends a document and stands for no bytes.
//
// Owned as Tokenizer says. Thread-safe (immutable).
class WorldTokenizer final : public Tokenizer {
 public:
  // Bounds on a vocabulary file: far above the official one's 1.1 MB, 65529
  // and 128 bytes.
  static constexpr size_t kMaxFileBytes = 16 << 20;
  static constexpr TokenId kMaxTokens = 1 << 20;
  static constexpr size_t kMaxTokenBytes = 1024;

  // Reads a vocabulary: lines `ID LITERAL BYTES`, with ids in (0, kMaxTokens)
  // in any order, a Python string or bytes literal, and the number of bytes it
  // stands for. Every single byte is a token. InvalidArgument says what is not
  // so, in which line of `name`.
  static absl::StatusOr<std::unique_ptr<const WorldTokenizer>> Parse(
      absl::string_view vocabulary, absl::string_view name);

  absl::StatusOr<std::vector<TokenId>> Encode(
      absl::string_view bytes) const override;
  absl::string_view TokenBytes(TokenId id) const override;
  int64_t size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::optional<TokenId> end_of_text() const override { return 0; }
  absl::string_view kind() const override { return "world"; }

 private:
  WorldTokenizer(std::vector<std::string> tokens, ByteTrie trie)
      : tokens_(std::move(tokens)), trie_(std::move(trie)) {}

  const std::vector<std::string> tokens_;  // [size()], empty: no such id
  const ByteTrie trie_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_
