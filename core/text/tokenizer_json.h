// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_JSON_H_
#define RWKVD_CORE_TEXT_TOKENIZER_JSON_H_

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/bpe_merges.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Bounds on a tokenizer.json: far above the 2.4 MB and 50277 of the 20B one.
inline constexpr size_t kMaxTokenizerJsonBytes = 64 << 20;
inline constexpr TokenId kMaxBpeTokens = 1 << 20;
inline constexpr size_t kMaxBpeTokenBytes = 1024;

// A token that is looked for in the text itself, before the merges see it.
struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool normalized = false;  // looked for after normalization, not before
};

// What a tokenizer.json says.
struct BpeVocabulary {
  std::vector<std::string> token_bytes;  // by id; empty: there is no such id
  // The token of each single byte; -1, at most for those 13 that occur nowhere
  // in UTF-8, where there is none.
  std::array<TokenId, 256> byte_ids{};
  BpeMerges merges;
  std::vector<AddedToken> added;
};

// Reads a byte-level BPE model as the tokenizers library writes it: normalizer
// NFC, pre-tokenizer and decoder ByteLevel. InvalidArgument, naming `name` and
// the field, for whatever else in it would change how a text is encoded.
absl::StatusOr<BpeVocabulary> ParseTokenizerJson(absl::string_view text,
                                                 absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_JSON_H_
