// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BPE_MERGES_H_
#define RWKVD_CORE_TEXT_BPE_MERGES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// The merge rules of a BPE model, in order of priority: the first rule added
// has rank 0 and is applied first.
//
// Owned by a tokenizer. Thread-safe once all rules are added (immutable).
class BpeMerges {
 public:
  // A token of the result, and the position of its first symbol in the word.
  struct Piece {
    TokenId id;
    uint32_t position;
  };

  // Buffers that one Encode reuses for all words. Thread-compatible.
  class Scratch {
   private:
    friend class BpeMerges;
    // A symbol of the word, in a doubly linked list. kNone: no neighbor.
    struct Symbol {
      TokenId id;
      uint32_t previous;
      uint32_t next;
      // The rule for this symbol and the next one, or kNoRank; and the
      // neighbors in the list of the symbols with this rank.
      uint32_t rank;
      uint32_t rank_previous;
      uint32_t rank_next;
    };
    std::vector<Symbol> symbols;
    // By rank: the first symbol of its list, if the rank's bit is set in
    // `used`. Bit i of `used_words` is set if word i of `used` is not 0.
    std::vector<uint32_t> first;
    std::vector<uint64_t> used;
    std::vector<uint64_t> used_words;
    std::vector<uint32_t> positions;
    // The lowest rank that a symbol has got since this was last reset.
    uint32_t lowest_added = 0;
    std::vector<uint32_t> ranks;  // of a short word
  };

  // An upper bound of the memory of the buffers, for each symbol of the longest
  // word and for each rule.
  static constexpr int64_t kScratchBytesPerSymbol = 24 + 3 * 4 + 2 * 4;
  static constexpr int64_t kScratchBytesPerRule = 5;

  int64_t num_rules() const { return static_cast<int64_t>(merged_.size()); }

  // Adds a rule with lower priority than all rules before: `left` followed by
  // `right` becomes `merged`. Ids are not negative. Returns false, and changes
  // nothing, if there is already a rule for that pair.
  bool Add(TokenId left, TokenId right, TokenId merged);

  // Merges `word`, which has fewer than 2^32 - 1 symbols, and appends the
  // result to `out`. Until no rule applies, applies the applicable rule of
  // lowest rank at its leftmost position. If no rule has a lower rank than
  // those that make its symbols, as training finds them, this takes O(n log n)
  // time for n symbols.
  void Apply(absl::Span<const TokenId> word, Scratch* scratch,
             std::vector<Piece>* out) const;

 private:
  // Apply for short words, and for long ones.
  void ApplyByScan(absl::Span<const TokenId> word, Scratch* scratch,
                   std::vector<Piece>* out) const;
  void ApplyByRank(absl::Span<const TokenId> word, Scratch* scratch,
                   std::vector<Piece>* out) const;

  uint32_t FindRank(TokenId left, TokenId right) const;

  // The functions below are the steps of ApplyByRank.
  void Start(absl::Span<const TokenId> word, Scratch* scratch) const;
  // The lowest rank of any symbol, or kNoRank.
  static uint32_t LowestRank(const Scratch& scratch);
  // Merges all symbols of this rank, from left to right, until there are
  // symbols of a lower rank.
  void MergeAll(uint32_t rank, Scratch* scratch) const;
  void MergeAt(uint32_t position, Scratch* scratch) const;
  void UpdateRank(uint32_t position, Scratch* scratch) const;
  // Adds the symbol to the list of its rank, which it has; removes it.
  static void Link(uint32_t position, Scratch* scratch);
  static void Unlink(uint32_t position, Scratch* scratch);

  absl::flat_hash_map<uint64_t, uint32_t> ranks_;  // key: left << 32 | right
  std::vector<TokenId> merged_;                    // by rank
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BPE_MERGES_H_
