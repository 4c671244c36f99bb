// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_STATE_CACHE_H_
#define RWKVD_CORE_ENGINE_STATE_CACHE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/model/state.h"

namespace rwkvd {

// What is known after reading some tokens from the start of a sequence: all a
// sequence needs to go on from there, without a step of its own even for its
// first prediction.
struct KnownPrefix {
  int32_t initial_state = 0;    // what the sequence started from
  std::vector<int32_t> tokens;  // at least one
  State state;                  // after the last of them
  std::vector<float> logits;    // [vocab_size], of the token that follows

  // Memory that it takes up.
  int64_t bytes() const;
};

// Remembers prefixes, within a limit on their bytes; those used longest ago go
// first.
//
// Engine thread only. What it returns equals recomputation bit for bit, since
// only what was computed is stored, under all it depends on: the initial state
// and the tokens.
class StateCache {
 public:
  // Stores nothing if `max_bytes` is 0. Tests narrow `hash_mask` so that
  // different prefixes collide.
  explicit StateCache(int64_t max_bytes, uint64_t hash_mask = ~uint64_t{0});

  // The longest stored prefix of `tokens`, perhaps all of them, of a sequence
  // that started from `initial_state`; nullptr if there is none.
  // O(tokens.size()).
  std::shared_ptr<const KnownPrefix> Lookup(int32_t initial_state,
                                            absl::Span<const int32_t> tokens);

  // Stores what is known after `initial_state` and `tokens`, or, if it is
  // stored already, marks it as used. Left out if it does not fit the limit
  // even alone.
  void Store(int32_t initial_state, absl::Span<const int32_t> tokens,
             const State& state, absl::Span<const float> logits);

  int64_t bytes() const { return bytes_; }
  int64_t entries() const { return static_cast<int64_t>(by_hash_.size()); }
  // Entries dropped for want of room since the start.
  int64_t evictions() const { return evictions_; }

 private:
  struct Entry {
    uint64_t hash;  // of its initial state and tokens
    std::shared_ptr<const KnownPrefix> prefix;
  };
  using EntryList = std::list<Entry>;  // last used first

  uint64_t HashAfter(uint64_t hash, int32_t token) const;
  void Remove(EntryList::iterator entry);

  const int64_t max_bytes_;
  const uint64_t hash_mask_;
  EntryList entries_;
  absl::flat_hash_map<uint64_t, EntryList::iterator> by_hash_;
  // How many entries there are of each length: prefixes of other lengths need
  // not be looked up.
  absl::btree_map<size_t, int64_t> lengths_;
  int64_t bytes_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_STATE_CACHE_H_
