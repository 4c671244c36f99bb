// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_
#define RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/cache/prefix_tree.h"
#include "core/model/state.h"

namespace rwkvd {

// What is known after reading some tokens from the start of a sequence: all a
// sequence needs to go on from there; with logits, without a step of its own
// even for its first prediction. Immutable.
struct KnownPrefix {
  int64_t num_tokens = 0;  // read, at least one
  State state;             // after the last of them
  // [vocab_size], of the token that follows; empty if they were not computed.
  std::vector<float> logits;
};

// A prefix that stays known, under a name. A value.
struct PinnedPrefix {
  std::string name;
  int64_t num_tokens = 0;
  int64_t bytes = 0;   // of memory
  absl::Time expires;  // InfiniteFuture: not by itself
};

// Remembers prefixes, within a limit on their bytes; those used longest ago go
// first. Pinned ones stay, within a limit of their own, until their pin is
// taken away, its time is over or its name is given to another prefix; then
// they are as all others.
//
// Owned by the engine. Thread-safe; only the engine's thread stores. What it
// returns equals recomputation bit for bit, since only what was computed is
// stored, under all it depends on: the initial state and the tokens.
class StateCache {
 public:
  struct Limits {
    int64_t max_bytes = 0;  // of what is not pinned; 0: nothing is stored
    int64_t max_pinned_bytes = 0;
    int64_t max_pinned = 0;  // names
  };

  struct Found {
    std::shared_ptr<const KnownPrefix> known;  // null if there is none
    // How many of the tokens begin a stored sequence, known or not.
    int64_t num_shared = 0;
  };

  struct Figures {
    int64_t bytes = 0;  // of all that is stored, pinned or not
    int64_t entries = 0;
    int64_t evictions = 0;  // for want of room, since the start
    int64_t pinned = 0;     // names
  };

  explicit StateCache(const Limits& limits) : limits_(limits) {}

  // The longest stored prefix of `tokens`, of a sequence that started from
  // `initial_state`, from which it can go on: perhaps all of them, if what
  // they predict is known too. O(tokens.size()).
  Found Lookup(int32_t initial_state, absl::Span<const int32_t> tokens)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores what is known after `initial_state` and `tokens`, or, if it is
  // stored already, marks it as used. `logits` may be empty. Left out if it
  // does not fit the limit even alone. O(tokens.size()).
  void Store(int32_t initial_state, absl::Span<const int32_t> tokens,
             const State& state, absl::Span<const float> logits)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores it, and keeps it under `name` until `expires`; what had the name
  // before has it no longer. ResourceExhausted, with nothing changed, if a
  // limit on pins would be passed. `logits` are known.
  absl::Status Pin(absl::string_view name, absl::Time expires,
                   int32_t initial_state, absl::Span<const int32_t> tokens,
                   const State& state, absl::Span<const float> logits)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether there was a pin of this name.
  bool Unpin(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes away the pins whose time is over.
  void Expire(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // By name.
  std::vector<PinnedPrefix> Pinned() const ABSL_LOCKS_EXCLUDED(mutex_);

  Figures figures() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry;
  using Tree = PrefixTree<Entry>;
  using Node = Tree::Node;
  using NodeList = std::list<Node*>;

  struct Entry {
    int32_t initial_state = 0;
    std::shared_ptr<const KnownPrefix> known;
    int64_t bytes = 0;  // without the tokens
    int64_t num_pins = 0;
    NodeList::iterator place;  // in unpinned_, if there is no pin
  };

  struct Holder {
    Node* node;
    absl::Time expires;
  };

  // The entry of exactly `tokens`, or null.
  Node* Find(int32_t initial_state, absl::Span<const int32_t> tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A new one, which is in no list yet.
  Node* Insert(int32_t initial_state, absl::Span<const int32_t> tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Set(Entry* entry, int64_t num_tokens, const State& state,
           absl::Span<const float> logits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Use(Node* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops entries until `bytes` more fit, or none is left that may go.
  void MakeRoom(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckPin(absl::string_view name, Node* node, int64_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One pin less.
  void Release(Node* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static int64_t BytesWithTokens(const Entry& entry);
  int64_t BytesUsed() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const Limits limits_;

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<int32_t, Tree> trees_ ABSL_GUARDED_BY(mutex_);
  NodeList unpinned_ ABSL_GUARDED_BY(mutex_);  // last used first
  absl::btree_map<std::string, Holder> pinned_ ABSL_GUARDED_BY(mutex_);
  int64_t entries_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t entry_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // without the tokens
  // Of pinned entries, with their tokens as if they shared none.
  int64_t pinned_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_
