// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BPE_WORD_ENCODER_H_
#define RWKVD_CORE_TEXT_BPE_WORD_ENCODER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/text/bpe_merges.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Merges the bytes of words, from left to right and in windows, so that neither
// the memory nor the time per byte grows with the length of a word.
//
// The result is that of merging the whole word at once, for this reason. Let A
// be the result for a prefix of the word, and B the result for a window that
// begins where a token of A begins and ends beyond the prefix. If A and B have
// a token in common, at the same place, then A up to that token followed by the
// rest of B is the result for the longer prefix: merges of the whole word that
// stay on one side of a boundary between two tokens do not depend on the other
// side, and whether a merge crosses a boundary depends on the two tokens next
// to it only. Each two neighbors of the joined list are neighbors in A or in B.
//
// Lives for one Encode; thread-compatible. The merges and ids outlive it.
class BpeWordEncoder {
 public:
  static constexpr size_t kWindowBytes = 8 << 10;
  static constexpr size_t kMaxWindowBytes = 128 << 10;

  // An upper bound of the memory that one object allocates, in bytes, if words
  // have at most `word_bytes`.
  static int64_t MaxMemory(const BpeMerges& merges, int64_t word_bytes);

  // `byte_ids` are the tokens of single bytes. `window_bytes` is at least 2.
  BpeWordEncoder(const BpeMerges* merges,
                 const std::array<TokenId, 256>* byte_ids,
                 size_t window_bytes = kWindowBytes)
      : merges_(*merges), byte_ids_(*byte_ids), window_bytes_(window_bytes) {}

  // Appends the tokens of `word`, all of whose bytes have tokens, to `ids`.
  // Stops early once `ids` has max_ids + 1. Returns false, and leaves `ids`
  // with wrong tokens, if the word does not allow windows of kMaxWindowBytes.
  // The rules would have to form a chain: a word in which each merge depends on
  // another one to its right, over 16,384 bytes.
  bool Append(absl::string_view word, size_t max_ids,
              std::vector<TokenId>* ids);

 private:
  // The result for a part of the word; positions are those in the word.
  using Pieces = std::vector<BpeMerges::Piece>;

  // The same as Append, with windows of this size. Returns false, and leaves
  // `ids` with wrong tokens, if two neighboring windows have no token in
  // common.
  bool AppendInWindows(absl::string_view word, size_t window_bytes,
                       size_t max_ids, std::vector<TokenId>* ids);
  // Merges the bytes of `word` from `begin` on, at most `size`, into `pieces`.
  void Merge(absl::string_view word, size_t begin, size_t size, Pieces* pieces);

  const BpeMerges& merges_;
  const std::array<TokenId, 256>& byte_ids_;
  const size_t window_bytes_;
  std::vector<TokenId> symbols_;
  BpeMerges::Scratch scratch_;
  Pieces current_;
  Pieces next_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BPE_WORD_ENCODER_H_
