// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_
#define RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_

#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/cache/prefix_start.h"
#include "core/engine/cache/prefix_tree.h"
#include "core/model/state.h"

namespace rwkvd {

// The result of processing some tokens at the start of a sequence, from which
// another sequence with the same start can continue. With logits, its first
// prediction needs no step. Immutable.
struct KnownPrefix {
  int64_t num_tokens = 0;  // at least one
  State state;             // after the last of them
  // [vocab_size], the prediction of the next token; empty if not computed.
  std::vector<float> logits;
};

// A prefix that is never evicted, under a name. A value.
struct PinnedPrefix {
  std::string name;
  int64_t num_tokens = 0;
  int64_t bytes = 0;   // of memory
  absl::Time expires;  // InfiniteFuture: never
};

// Stores known prefixes up to a limit on their bytes, and evicts the least
// recently used ones. Pinned prefixes have a limit of their own and stay until
// their pin is removed, expires, or its name is given to another prefix; then
// they become ordinary prefixes.
//
// Owned by the engine. Thread-safe; only the engine's thread stores. A hit is
// bit-identical to recomputation: only computed values are stored, under
// everything they depend on, which is the initial state and the tokens. The
// prefixes and pins of one partition are invisible to the others; all share the
// limits.
class StateCache {
 public:
  struct Limits {
    int64_t max_bytes = 0;  // of unpinned prefixes; 0: nothing is stored
    int64_t max_pinned_bytes = 0;
    int64_t max_pinned = 0;  // names
  };

  struct Found {
    std::shared_ptr<const KnownPrefix> known;  // null if there is none
    // The number of leading tokens that are also leading tokens of a stored
    // prefix, whether the state after them is known or not.
    int64_t num_shared = 0;
  };

  struct Figures {
    int64_t bytes = 0;  // of all prefixes, pinned or not
    int64_t entries = 0;
    int64_t evictions = 0;  // since the start
    int64_t pinned = 0;     // names
  };

  explicit StateCache(const Limits& limits) : limits_(limits) {}

  // The longest prefix of `tokens` that is stored for `start` and can
  // be continued from: all tokens only if their prediction is known. Marks it
  // as used. O(tokens.size()).
  Found Lookup(const PrefixStart& start, absl::Span<const int32_t> tokens)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores the result of processing `tokens` after `start`. If it is
  // stored already, marks it as used, and adds `logits` if it has none.
  // `logits` may be empty. Stores nothing that exceeds the limit alone.
  // O(tokens.size()).
  void Store(const PrefixStart& start, absl::Span<const int32_t> tokens,
             const State& state, absl::Span<const float> logits)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores the same and pins it under `name` until `expires`, instead of what
  // had the name in this partition before. `logits` are not empty.
  // ResourceExhausted, with nothing changed, if a limit on pins would be
  // exceeded, or `max_names` in this partition.
  absl::Status Pin(absl::string_view name, absl::Time expires,
                   const PrefixStart& start, absl::Span<const int32_t> tokens,
                   const State& state, absl::Span<const float> logits,
                   int64_t max_names = std::numeric_limits<int64_t>::max())
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes the pin of this name in this partition. Returns false if there is
  // none.
  bool Unpin(absl::string_view name, absl::string_view partition = "")
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes the pins that have expired.
  void Expire(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // All pins of this partition, by name.
  std::vector<PinnedPrefix> Pinned(absl::string_view partition = "") const
      ABSL_LOCKS_EXCLUDED(mutex_);

  Figures figures() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry;
  using Tree = PrefixTree<Entry>;
  using Node = Tree::Node;
  using NodeList = std::list<Node*>;

  struct Entry {
    PrefixStart start = 0;
    std::shared_ptr<const KnownPrefix> known;
    int64_t bytes = 0;  // without the tokens
    int64_t num_pins = 0;
    NodeList::iterator position;  // in unpinned_, if num_pins is 0
  };

  using PinName = std::pair<std::string, std::string>;  // partition, name

  struct PinTarget {
    Node* node;
    absl::Time expires;
  };

  // The node of exactly `tokens`, or null.
  Node* Find(const PrefixStart& start, absl::Span<const int32_t> tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A new node for `tokens`, which is not in unpinned_ yet.
  Node* Insert(const PrefixStart& start, absl::Span<const int32_t> tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sets what is known, and counts its bytes.
  void Set(Entry* entry, int64_t num_tokens, const State& state,
           absl::Span<const float> logits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Marks an unpinned node as the most recently used.
  void Use(Node* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Evicts entries until `bytes` more fit, or all others are pinned.
  void MakeRoom(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // ResourceExhausted if pinning `bytes` as `pin` would exceed a limit. `node`
  // is the prefix, or null if it is not stored.
  absl::Status CheckPin(const PinName& pin, int64_t max_names, Node* node,
                        int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes one pin of `node`, which becomes ordinary without any.
  void Release(Node* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static int64_t BytesWithTokens(const Entry& entry);
  int64_t BytesUsed() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const Limits limits_;

  mutable absl::Mutex mutex_;
  // None of them is empty.
  absl::flat_hash_map<PrefixStart, Tree> trees_ ABSL_GUARDED_BY(mutex_);
  int64_t tree_tokens_ ABSL_GUARDED_BY(mutex_) = 0;  // of all trees
  NodeList unpinned_ ABSL_GUARDED_BY(mutex_);        // most recently used first
  absl::btree_map<PinName, PinTarget> pinned_ ABSL_GUARDED_BY(mutex_);
  int64_t entries_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t entry_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // without the tokens
  // Of pinned entries, each with all of its tokens.
  int64_t pinned_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_STATE_CACHE_H_
