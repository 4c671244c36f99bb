// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_merges.h"

#include <algorithm>
#include <limits>

namespace rwkvd {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();
constexpr TokenId kGone = -1;

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

// Orders a heap so that its front has the lowest rank and, of equal ranks, the
// leftmost position.
constexpr auto kComesAfter = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
};

}  // namespace

bool BpeMerges::Add(TokenId left, TokenId right, TokenId merged) {
  const Rule rule = {static_cast<uint32_t>(rules_.size()), merged};
  return rules_.emplace(PairKey(left, right), rule).second;
}

const BpeMerges::Rule* BpeMerges::Find(TokenId left, TokenId right) const {
  const auto at = rules_.find(PairKey(left, right));
  return at == rules_.end() ? nullptr : &at->second;
}

void BpeMerges::PushCandidate(size_t left_position, Scratch* scratch) const {
  const Scratch::Symbol& left = scratch->symbols[left_position];
  if (left.next == kNone) return;
  const TokenId right = scratch->symbols[left.next].id;
  const Rule* const rule = Find(left.id, right);
  if (rule == nullptr) return;
  scratch->heap.push_back({rule->rank, left_position, left.id, right});
  std::push_heap(scratch->heap.begin(), scratch->heap.end(), kComesAfter);
}

void BpeMerges::MergeAt(const Scratch::Candidate& candidate,
                        Scratch* scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch->symbols;
  Scratch::Symbol& left = symbols[candidate.position];
  // The candidate is stale if one of its symbols has been merged since.
  if (left.id != candidate.left || left.next == kNone) return;
  Scratch::Symbol& right = symbols[left.next];
  if (right.id != candidate.right) return;
  left.id = Find(candidate.left, candidate.right)->merged;
  right.id = kGone;
  left.next = right.next;
  if (left.next != kNone) symbols[left.next].previous = candidate.position;
  if (left.previous != kNone) PushCandidate(left.previous, scratch);
  PushCandidate(candidate.position, scratch);
}

void BpeMerges::Apply(absl::Span<const TokenId> word, Scratch* scratch,
                      std::vector<TokenId>* out) const {
  scratch->symbols.clear();
  scratch->heap.clear();
  for (size_t i = 0; i < word.size(); ++i) {
    scratch->symbols.push_back({word[i], i == 0 ? kNone : i - 1,
                                i + 1 == word.size() ? kNone : i + 1});
  }
  for (size_t i = 0; i < word.size(); ++i) PushCandidate(i, scratch);
  while (!scratch->heap.empty()) {
    std::pop_heap(scratch->heap.begin(), scratch->heap.end(), kComesAfter);
    const Scratch::Candidate best = scratch->heap.back();
    scratch->heap.pop_back();
    MergeAt(best, scratch);
  }
  for (size_t i = 0; i < word.size(); i = scratch->symbols[i].next) {
    out->push_back(scratch->symbols[i].id);  // kNone also ends the loop
  }
}

}  // namespace rwkvd
