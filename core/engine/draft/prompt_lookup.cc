// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/prompt_lookup.h"

#include <algorithm>
#include <bit>

namespace rwkvd {
namespace {

// By the number of tokens that match: 2 to 4, 5 to 8, 9 to 15, 16.
DraftGuess GuessOf(size_t length) {
  if (length < 5) return {.grade = 0, .prior = 0.3};
  if (length < 9) return {.grade = 1, .prior = 0.6};
  if (length < 16) return {.grade = 2, .prior = 0.75};
  return {.grade = 3, .prior = 0.85};
}

// The number of tokens, at most `max`, before `a` that equal those before `b`;
// a < b.
size_t MatchBefore(absl::Span<const int32_t> tokens, size_t a, size_t b,
                   size_t max) {
  size_t length = 0;
  while (length < std::min(a, max) &&
         tokens[a - 1 - length] == tokens[b - 1 - length]) {
    ++length;
  }
  return length;
}

}  // namespace

DraftGuess PromptLookup::Guess(absl::Span<const int32_t> tokens, int64_t max,
                               std::vector<int32_t>* draft) {
  Advance(tokens);
  // A match of this length is better than what the tables know.
  if (length_ < kLong && !Find(long_, tokens, kLong) && length_ < kShort &&
      !Find(short_, tokens, kShort)) {
    length_ = 0;
    return {};
  }
  // Where the match overlaps its copy, the text repeats itself.
  const size_t period = tokens.size() - match_;
  for (size_t i = 0; i < static_cast<size_t>(max); ++i) {
    draft->push_back(tokens[match_ + i % period]);
  }
  return GuessOf(length_);
}

void PromptLookup::Advance(absl::Span<const int32_t> tokens) {
  const int64_t num_tokens = static_cast<int64_t>(tokens.size());
  if (long_.empty()) {
    const auto entries = std::bit_ceil(static_cast<uint64_t>(std::clamp(
        std::max(max_tokens_, num_tokens), int64_t{1}, kMaxEntries)));
    long_.resize(entries);
    short_.resize(entries);
    seen_ = tokens.size();
  }
  for (; seen_ < tokens.size() && length_ > 0; ++seen_) {
    const bool goes_on = tokens[match_] == tokens[seen_];
    length_ = goes_on ? std::min(length_ + 1, kMaxMatch) : 0;
    ++match_;
  }
  seen_ = tokens.size();
  // More positions than the tables have slots would only replace each other.
  next_ = static_cast<size_t>(
      std::max(static_cast<int64_t>(next_), num_tokens - kMaxEntries));
  for (; next_ < tokens.size(); ++next_) {
    const auto position = static_cast<uint32_t>(next_);
    if (next_ >= kLong) Slot(long_, tokens, next_, kLong) = position;
    if (next_ >= kShort) Slot(short_, tokens, next_, kShort) = position;
  }
}

uint32_t& PromptLookup::Slot(std::vector<uint32_t>& table,
                             absl::Span<const int32_t> tokens, size_t end,
                             size_t length) {
  uint64_t hash = 0;
  for (size_t i = end - length; i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return table[hash & (table.size() - 1)];
}

bool PromptLookup::Find(std::vector<uint32_t>& table,
                        absl::Span<const int32_t> tokens, size_t length) {
  if (tokens.size() < length) return false;
  const size_t position = Slot(table, tokens, tokens.size(), length);
  if (position == 0) return false;
  // Different tokens may have the same slot.
  const size_t matching =
      MatchBefore(tokens, position, tokens.size(), kMaxMatch);
  if (matching < length) return false;
  match_ = position;
  length_ = matching;
  return true;
}

}  // namespace rwkvd
