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

// The merge rules of a BPE model, the most important first.
//
// Owned by a tokenizer. Thread-safe once all rules are added (immutable).
class BpeMerges {
 public:
  // Memory that one Encode uses again and again. Thread-compatible.
  class Scratch {
   private:
    friend class BpeMerges;
    // A symbol of the word, in a doubly linked list. kNone: no neighbor.
    struct Symbol {
      TokenId id;  // kGone: became part of its left neighbor
      size_t previous;
      size_t next;
    };
    // Two neighbors that a rule could merge, when it was noted.
    struct Candidate {
      uint32_t rank;
      size_t position;  // of the left one
      TokenId left;
      TokenId right;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Adds a rule of lower importance than all before: `left` followed by
  // `right` becomes `merged`. False, changing nothing, if there is a rule for
  // that pair already. Ids are not negative.
  bool Add(TokenId left, TokenId right, TokenId merged);

  // Appends to `out` what is left of `word` when the most important rule that
  // applies, at the leftmost place where it does, has been applied until none
  // applies. Takes time n log n in the length of the word.
  void Apply(absl::Span<const TokenId> word, Scratch* scratch,
             std::vector<TokenId>* out) const;

 private:
  struct Rule {
    uint32_t rank;  // 0 is the most important
    TokenId merged;
  };

  const Rule* Find(TokenId left, TokenId right) const;
  void NoteCandidate(size_t left_position, Scratch* scratch) const;
  void MergeAt(const Scratch::Candidate& candidate, Scratch* scratch) const;

  absl::flat_hash_map<uint64_t, Rule> rules_;  // by left << 32 | right
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BPE_MERGES_H_
