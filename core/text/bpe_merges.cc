// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

// Words up to this size are merged by searching for the lowest rank each time.
constexpr size_t kMaxScanned = 32;

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

}  // namespace

bool BpeMerges::Add(TokenId left, TokenId right, TokenId merged) {
  const auto rank = static_cast<uint32_t>(merged_.size());
  if (!ranks_.emplace(PairKey(left, right), rank).second) return false;
  merged_.push_back(merged);
  return true;
}

uint32_t BpeMerges::FindRank(TokenId left, TokenId right) const {
  const auto at = ranks_.find(PairKey(left, right));
  return at == ranks_.end() ? kNoRank : at->second;
}

void BpeMerges::Apply(absl::Span<const TokenId> word, Scratch* scratch,
                      std::vector<Piece>* out) const {
  RWKVD_CHECK(word.size() < kNone);
  if (word.size() <= kMaxScanned) return ApplyByScan(word, scratch, out);
  return ApplyByRank(word, scratch, out);
}

void BpeMerges::ApplyByScan(absl::Span<const TokenId> word, Scratch* scratch,
                            std::vector<Piece>* out) const {
  const size_t begin = out->size();
  std::vector<uint32_t>& ranks = scratch->ranks;
  ranks.clear();
  for (uint32_t i = 0; i < word.size(); ++i) {
    out->push_back({word[i], i});
    ranks.push_back(i + 1 < word.size() ? FindRank(word[i], word[i + 1])
                                        : kNoRank);
  }
  while (!ranks.empty()) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());
    if (*lowest == kNoRank) return;
    const auto left =
        out->begin() + static_cast<int64_t>(begin) + (lowest - ranks.begin());
    left->id = merged_[*lowest];
    const auto next = out->erase(left + 1);
    *lowest = next == out->end() ? kNoRank : FindRank(left->id, next->id);
    if (lowest != ranks.begin()) {
      *(lowest - 1) = FindRank((left - 1)->id, left->id);
    }
    ranks.erase(lowest + 1);
  }
}

void BpeMerges::ApplyByRank(absl::Span<const TokenId> word, Scratch* scratch,
                            std::vector<Piece>* out) const {
  Start(word, scratch);
  for (uint32_t rank = LowestRank(*scratch); rank != kNoRank;
       rank = LowestRank(*scratch)) {
    MergeAll(rank, scratch);
  }
  for (uint32_t i = 0; i != kNone; i = scratch->symbols[i].next) {
    out->push_back({scratch->symbols[i].id, i});
  }
}

void BpeMerges::Start(absl::Span<const TokenId> word, Scratch* scratch) const {
  if (scratch->first.empty()) {  // all lists are empty after each word
    scratch->first.resize(merged_.size());
    scratch->used.resize(merged_.size() / 64 + 1);
    scratch->used_words.resize(scratch->used.size() / 64 + 1);
  }
  const auto size = static_cast<uint32_t>(word.size());
  scratch->symbols.resize(size);
  // From right to left, so that the lists are in order.
  for (uint32_t i = size; i-- > 0;) {
    const bool is_last = i + 1 == size;
    const uint32_t rank = is_last ? kNoRank : FindRank(word[i], word[i + 1]);
    scratch->symbols[i] = {
        word[i], i == 0 ? kNone : i - 1, is_last ? kNone : i + 1, rank, kNone,
        kNone};
    if (rank != kNoRank) Link(i, scratch);
  }
}

uint32_t BpeMerges::LowestRank(const Scratch& scratch) {
  for (size_t i = 0; i < scratch.used_words.size(); ++i) {
    if (scratch.used_words[i] == 0) continue;
    const size_t word =
        64 * i + static_cast<size_t>(std::countr_zero(scratch.used_words[i]));
    return static_cast<uint32_t>(
        64 * word + static_cast<size_t>(std::countr_zero(scratch.used[word])));
  }
  return kNoRank;
}

void BpeMerges::MergeAll(uint32_t rank, Scratch* scratch) const {
  std::vector<uint32_t>& positions = scratch->positions;
  positions.clear();
  for (uint32_t i = scratch->first[rank]; i != kNone;
       i = scratch->symbols[i].rank_next) {
    positions.push_back(i);
  }
  if (!std::is_sorted(positions.begin(), positions.end())) {
    // The list is in descending order where merges from left to right made it.
    std::reverse(positions.begin(), positions.end());
    if (!std::is_sorted(positions.begin(), positions.end())) {
      std::sort(positions.begin(), positions.end());
    }
  }
  scratch->lowest_added = kNoRank;
  for (const uint32_t position : positions) {
    // A merge to the left may have taken the symbol or its neighbor.
    if (scratch->symbols[position].rank != rank) continue;
    MergeAt(position, scratch);
    if (scratch->lowest_added < rank) return;
  }
}

void BpeMerges::MergeAt(uint32_t position, Scratch* scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch->symbols;
  Scratch::Symbol& left = symbols[position];
  Scratch::Symbol& right = symbols[left.next];
  left.id = merged_[left.rank];
  if (right.rank != kNoRank) Unlink(left.next, scratch);
  right.rank = kNoRank;
  left.next = right.next;
  if (left.next != kNone) symbols[left.next].previous = position;
  if (left.previous != kNone) UpdateRank(left.previous, scratch);
  UpdateRank(position, scratch);
}

void BpeMerges::UpdateRank(uint32_t position, Scratch* scratch) const {
  Scratch::Symbol& symbol = scratch->symbols[position];
  if (symbol.rank != kNoRank) Unlink(position, scratch);
  symbol.rank = symbol.next == kNone
                    ? kNoRank
                    : FindRank(symbol.id, scratch->symbols[symbol.next].id);
  if (symbol.rank == kNoRank) return;
  Link(position, scratch);
  scratch->lowest_added = std::min(scratch->lowest_added, symbol.rank);
}

void BpeMerges::Link(uint32_t position, Scratch* scratch) {
  Scratch::Symbol& symbol = scratch->symbols[position];
  const uint32_t word = symbol.rank / 64;
  const uint64_t bit = uint64_t{1} << (symbol.rank % 64);
  symbol.rank_previous = kNone;
  symbol.rank_next = kNone;
  uint32_t& first = scratch->first[symbol.rank];
  if ((scratch->used[word] & bit) != 0) {
    symbol.rank_next = first;
    scratch->symbols[first].rank_previous = position;
  } else {
    scratch->used[word] |= bit;
    scratch->used_words[word / 64] |= uint64_t{1} << (word % 64);
  }
  first = position;
}

void BpeMerges::Unlink(uint32_t position, Scratch* scratch) {
  const Scratch::Symbol& symbol = scratch->symbols[position];
  if (symbol.rank_next != kNone) {
    scratch->symbols[symbol.rank_next].rank_previous = symbol.rank_previous;
  }
  if (symbol.rank_previous != kNone) {
    scratch->symbols[symbol.rank_previous].rank_next = symbol.rank_next;
  } else if (symbol.rank_next != kNone) {
    scratch->first[symbol.rank] = symbol.rank_next;
  } else {
    const uint32_t word = symbol.rank / 64;
    scratch->used[word] &= ~(uint64_t{1} << (symbol.rank % 64));
    if (scratch->used[word] == 0) {
      scratch->used_words[word / 64] &= ~(uint64_t{1} << (word % 64));
    }
  }
}

}  // namespace rwkvd
