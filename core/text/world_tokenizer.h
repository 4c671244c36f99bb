// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_
#define RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/added_tokens.h"
#include "core/text/byte_trie.h"
#include "core/text/greedy_splitter.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// The tokenizer of the World models: repeatedly takes the longest token that
// the remaining bytes begin with. Token 0 ends a document and stands for no
// bytes.
//
// The official vocabulary file has no added tokens. With the tokenizer.json of
// the official releases, the text "<|endoftext|>" is token 0.
//
// Owned as Tokenizer says. Thread-safe (immutable).
class WorldTokenizer final : public Tokenizer {
 public:
  // Limits on a vocabulary file, far above the 1.1 MB, 65529 tokens and 128
  // bytes per token of the official one.
  static constexpr size_t kMaxFileBytes = 16 << 20;
  static constexpr TokenId kMaxTokens = 1 << 20;
  static constexpr size_t kMaxTokenBytes = 1024;

  // Parses a vocabulary: lines `ID LITERAL BYTES` with an id in (0,
  // kMaxTokens), in any order, a Python string or bytes literal, and the number
  // of bytes of its value; without bytes, the id is unused. Every single byte
  // must be a token. A byte order mark before the first line is ignored.
  // Returns InvalidArgument, with `name` and the line, if the text is
  // malformed.
  static absl::StatusOr<std::unique_ptr<const WorldTokenizer>> Parse(
      absl::string_view vocabulary, absl::string_view name);

  // Builds a tokenizer from the bytes of each token, by id. They are empty for
  // token 0 and for ids that the vocabulary does not use; such ids at the end
  // of the list only count for num_listed_ids(). Every single byte must be a
  // token. `added` are tokens that are searched in the text first; of those,
  // `tokens` has the bytes that they are decoded to. Returns InvalidArgument,
  // with `name` and the token, if the list exceeds the limits above or has a
  // token twice.
  static absl::StatusOr<std::unique_ptr<const WorldTokenizer>> FromTokens(
      std::vector<std::string> tokens, absl::string_view name,
      const std::vector<AddedToken>& added = {});

  absl::string_view TokenBytes(TokenId id) const override;
  int64_t max_bytes_per_token() const override { return max_token_bytes_; }
  int64_t size() const override { return static_cast<int64_t>(tokens_.size()); }
  int64_t num_listed_ids() const override { return num_listed_ids_; }
  std::optional<TokenId> end_of_text() const override { return 0; }
  absl::string_view kind() const override { return "world"; }

 private:
  WorldTokenizer(std::vector<std::string> tokens, int64_t num_listed_ids,
                 ByteTrie trie, const std::vector<AddedToken>& added);

  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(
      absl::string_view bytes, size_t max_tokens) const override;
  int64_t MaxWorkMemory(absl::string_view) const override { return 0; }

  const std::vector<std::string> tokens_;  // [size()], empty: unused id
  const int64_t num_listed_ids_;
  const GreedySplitter splitter_;
  const AddedTokens added_;
  const int64_t max_token_bytes_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WORLD_TOKENIZER_H_
