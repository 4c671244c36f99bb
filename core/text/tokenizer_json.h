// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_JSON_H_
#define RWKVD_CORE_TEXT_TOKENIZER_JSON_H_

#include <array>
#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/added_tokens.h"
#include "core/text/bpe_merges.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Limits on a tokenizer.json, far above the 2.4 MB and 65536 tokens of known
// files.
inline constexpr size_t kMaxTokenizerJsonBytes = 64 << 20;
inline constexpr TokenId kMaxJsonTokens = 1 << 20;
inline constexpr size_t kMaxJsonTokenBytes = 1024;

// The vocabulary of a byte-level BPE model, such as that of the Pile models.
struct BpeVocabulary {
  std::vector<std::string> token_bytes;  // by id; empty: unused id
  // The token of each single byte; -1 if there is none, which is possible only
  // for the 13 bytes that never occur in UTF-8.
  std::array<TokenId, 256> byte_ids{};
  BpeMerges merges;
  std::vector<AddedToken> added;
};

// The vocabulary of a byte-level WordPiece model whose words are whole texts:
// it encodes as the World trie does. The form of the official releases.
struct WordPieceVocabulary {
  std::vector<std::string> token_bytes;  // by id; empty: token 0, unused ids
  std::vector<AddedToken> added;         // token 0 is one of them
};

using TokenizerJson = std::variant<BpeVocabulary, WordPieceVocabulary>;

// Parses a byte-level model in the format of the Hugging Face tokenizers
// library, with pre-tokenizer and decoder ByteLevel: BPE with normalizer NFC,
// or WordPiece without normalizer. Returns InvalidArgument, with `name` and the
// field, for any setting that would change how a text is encoded.
absl::StatusOr<TokenizerJson> ParseTokenizerJson(absl::string_view text,
                                                 absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_JSON_H_
