// SPDX-License-Identifier: Apache-2.0
#include "core/engine/state_cache.h"

#include <iterator>

#include "absl/container/inlined_vector.h"

namespace rwkvd {
namespace {

constexpr uint64_t kHashOfNothing = 0x9e3779b97f4a7c15;

// Of the list, the map and the allocator, per entry; roughly.
constexpr int64_t kOverheadBytes = 256;

int64_t BytesOf(absl::Span<const int32_t> tokens, const State& state,
                absl::Span<const float> logits) {
  return static_cast<int64_t>(tokens.size() * sizeof(tokens[0]) +
                              state.bytes() +
                              logits.size() * sizeof(logits[0])) +
         kOverheadBytes;
}

}  // namespace

int64_t KnownPrefix::bytes() const { return BytesOf(tokens, state, logits); }

StateCache::StateCache(int64_t max_bytes, uint64_t hash_mask)
    : max_bytes_(max_bytes), hash_mask_(hash_mask) {}

std::shared_ptr<const KnownPrefix> StateCache::Lookup(
    int32_t initial_state, absl::Span<const int32_t> tokens) {
  absl::InlinedVector<EntryList::iterator, 16> found;  // shortest first
  uint64_t hash = HashAfter(kHashOfNothing, initial_state);
  size_t hashed = 0;
  for (const auto& [length, count] : lengths_) {
    if (length > tokens.size()) break;
    while (hashed < length) hash = HashAfter(hash, tokens[hashed++]);
    const auto it = by_hash_.find(hash);
    if (it != by_hash_.end() && it->second->prefix->tokens.size() == length) {
      found.push_back(it->second);
    }
  }
  for (; !found.empty(); found.pop_back()) {
    const EntryList::iterator entry = found.back();
    // The hash may collide.
    const KnownPrefix& stored = *entry->prefix;
    if (stored.initial_state != initial_state ||
        tokens.first(stored.tokens.size()) != stored.tokens) {
      continue;
    }
    entries_.splice(entries_.begin(), entries_, entry);
    return entry->prefix;
  }
  return nullptr;
}

void StateCache::Store(int32_t initial_state, absl::Span<const int32_t> tokens,
                       const State& state, absl::Span<const float> logits) {
  const int64_t bytes = BytesOf(tokens, state, logits);
  if (bytes > max_bytes_) return;
  uint64_t hash = HashAfter(kHashOfNothing, initial_state);
  for (const int32_t token : tokens) hash = HashAfter(hash, token);
  const auto it = by_hash_.find(hash);
  if (it != by_hash_.end()) {
    const KnownPrefix& stored = *it->second->prefix;
    if (stored.initial_state == initial_state && stored.tokens == tokens) {
      entries_.splice(entries_.begin(), entries_, it->second);
      return;
    }
    // Another prefix of the same hash makes way.
    ++evictions_;
    Remove(it->second);
  }
  for (; bytes_ + bytes > max_bytes_; ++evictions_) {
    Remove(std::prev(entries_.end()));
  }
  entries_.push_front({hash, std::make_shared<KnownPrefix>(
                                 KnownPrefix{initial_state,
                                             {tokens.begin(), tokens.end()},
                                             state,
                                             {logits.begin(), logits.end()}})});
  by_hash_[hash] = entries_.begin();
  ++lengths_[tokens.size()];
  bytes_ += bytes;
}

uint64_t StateCache::HashAfter(uint64_t hash, int32_t token) const {
  hash = (hash ^ static_cast<uint32_t>(token)) * 0xff51afd7ed558ccd;
  return (hash ^ (hash >> 32)) & hash_mask_;
}

void StateCache::Remove(EntryList::iterator entry) {
  const auto length = lengths_.find(entry->prefix->tokens.size());
  if (--length->second == 0) lengths_.erase(length);
  bytes_ -= entry->prefix->bytes();
  by_hash_.erase(entry->hash);
  entries_.erase(entry);
}

}  // namespace rwkvd
