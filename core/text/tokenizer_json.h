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

// Limits on a tokenizer.json, far above the 2.4 MB and 50277 tokens of the 20B
// file.
inline constexpr size_t kMaxTokenizerJsonBytes = 64 << 20;
inline constexpr TokenId kMaxBpeTokens = 1 << 20;
inline constexpr size_t kMaxBpeTokenBytes = 1024;

// A token that is searched in the text itself, before any merge.
struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool normalized = false;  // searched after normalization, not before
};

// The contents of a tokenizer.json.
struct BpeVocabulary {
  std::vector<std::string> token_bytes;  // by id; empty: unused id
  // The token of each single byte; -1 if there is none, which is possible only
  // for the 13 bytes that never occur in UTF-8.
  std::array<TokenId, 256> byte_ids{};
  BpeMerges merges;
  std::vector<AddedToken> added;
};

// Parses a byte-level BPE model in the format of the Hugging Face tokenizers
// library: normalizer NFC, pre-tokenizer and decoder ByteLevel. Returns
// InvalidArgument, with `name` and the field, for any setting that would change
// how a text is encoded.
absl::StatusOr<BpeVocabulary> ParseTokenizerJson(absl::string_view text,
                                                 absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_JSON_H_
