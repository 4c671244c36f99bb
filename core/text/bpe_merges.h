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
  // Buffers that one Encode reuses for all words. Thread-compatible.
  class Scratch {
   private:
    friend class BpeMerges;
    // A symbol of the word, in a doubly linked list. kNone: no neighbor.
    struct Symbol {
      TokenId id;  // kGone: merged into its left neighbor
      size_t previous;
      size_t next;
    };
    // Two neighbors that a rule could merge when the candidate was added.
    struct Candidate {
      uint32_t rank;
      size_t position;  // of the left symbol
      TokenId left;
      TokenId right;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Adds a rule with lower priority than all rules before: `left` followed by
  // `right` becomes `merged`. Ids are not negative. Returns false, and changes
  // nothing, if there is already a rule for that pair.
  bool Add(TokenId left, TokenId right, TokenId merged);

  // Merges `word` and appends the result to `out`. Until no rule applies,
  // applies the applicable rule of lowest rank at its leftmost position. Takes
  // O(n log n) time for n symbols.
  void Apply(absl::Span<const TokenId> word, Scratch* scratch,
             std::vector<TokenId>* out) const;

 private:
  struct Rule {
    uint32_t rank;  // 0: applied first
    TokenId merged;
  };

  const Rule* Find(TokenId left, TokenId right) const;
  void PushCandidate(size_t left_position, Scratch* scratch) const;
  void MergeAt(const Scratch::Candidate& candidate, Scratch* scratch) const;

  absl::flat_hash_map<uint64_t, Rule> rules_;  // key: left << 32 | right
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BPE_MERGES_H_
