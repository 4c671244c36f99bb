// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/state_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// An upper bound on the bytes per entry in the tree (at most two nodes), the
// list, and the allocator's rounding. Measured: up to 600.
constexpr int64_t kOverheadBytes = 1024;

// The bytes that a token takes in the tree, with the capacity that a node may
// have in excess: see PrefixTree.
constexpr int64_t kTokenBytes = sizeof(int32_t) + 1;

int64_t BytesOf(const State& state, absl::Span<const float> logits) {
  return static_cast<int64_t>(state.bytes() + logits.size() * sizeof(float)) +
         kOverheadBytes;
}

int64_t BytesOf(absl::Span<const int32_t> tokens) {
  return static_cast<int64_t>(tokens.size()) * kTokenBytes;
}

}  // namespace

StateCache::Found StateCache::Lookup(int32_t initial_state,
                                     absl::Span<const int32_t> tokens) {
  Found found;
  absl::MutexLock lock(&mutex_);
  const auto tree = trees_.find(initial_state);
  if (tree == trees_.end()) return found;
  Node* longest = nullptr;
  found.num_shared = static_cast<int64_t>(
      tree->second.Walk(tokens, [&](size_t length, Node* node) {
        const bool can_continue =
            length < tokens.size() || !node->value->known->logits.empty();
        if (can_continue) longest = node;
      }));
  if (longest == nullptr) return found;
  Use(longest);
  found.known = longest->value->known;
  return found;
}

void StateCache::Store(int32_t initial_state, absl::Span<const int32_t> tokens,
                       const State& state, absl::Span<const float> logits) {
  const int64_t bytes = BytesOf(state, logits) + BytesOf(tokens);
  if (bytes > limits_.max_bytes) return;
  absl::MutexLock lock(&mutex_);
  Node* node = Find(initial_state, tokens);
  if (node == nullptr) {
    MakeRoom(bytes);
    node = Insert(initial_state, tokens);
    node->value->position = unpinned_.insert(unpinned_.begin(), node);
  } else {
    Use(node);
    const bool adds = node->value->known->logits.empty() && !logits.empty();
    if (!adds) return;
    // This entry was just used, so it is not evicted, and it fits.
    MakeRoom(BytesOf(state, logits) - node->value->bytes);
  }
  Set(&*node->value, static_cast<int64_t>(tokens.size()), state, logits);
}

StateCache::Node* StateCache::Find(int32_t initial_state,
                                   absl::Span<const int32_t> tokens) {
  Node* found = nullptr;
  trees_[initial_state].Walk(tokens, [&](size_t length, Node* node) {
    if (length == tokens.size()) found = node;
  });
  return found;
}

StateCache::Node* StateCache::Insert(int32_t initial_state,
                                     absl::Span<const int32_t> tokens) {
  Node* const node = trees_[initial_state].Insert(tokens);
  node->value.emplace();
  node->value->initial_state = initial_state;
  ++entries_;
  return node;
}

void StateCache::Set(Entry* entry, int64_t num_tokens, const State& state,
                     absl::Span<const float> logits) {
  entry_bytes_ -= entry->bytes;
  entry->bytes = BytesOf(state, logits);
  entry_bytes_ += entry->bytes;
  entry->known = std::make_shared<KnownPrefix>(
      KnownPrefix{num_tokens, state, {logits.begin(), logits.end()}});
}

void StateCache::Use(Node* node) {
  const Entry& entry = *node->value;
  if (entry.num_pins > 0) return;
  unpinned_.splice(unpinned_.begin(), unpinned_, entry.position);
}

void StateCache::MakeRoom(int64_t bytes) {
  while (!unpinned_.empty() &&
         BytesUsed() + bytes > limits_.max_bytes + pinned_bytes_) {
    Node* const node = unpinned_.back();
    unpinned_.pop_back();
    entry_bytes_ -= node->value->bytes;
    --entries_;
    ++evictions_;
    trees_[node->value->initial_state].Remove(node);
  }
}

absl::Status StateCache::Pin(absl::string_view name, absl::Time expires,
                             int32_t initial_state,
                             absl::Span<const int32_t> tokens,
                             const State& state,
                             absl::Span<const float> logits) {
  const int64_t bytes = BytesOf(state, logits) + BytesOf(tokens);
  absl::MutexLock lock(&mutex_);
  Node* node = Find(initial_state, tokens);
  RWKVD_RETURN_IF_ERROR(CheckPin(name, node, bytes));
  const bool is_pinned = node != nullptr && node->value->num_pins > 0;
  if (node == nullptr) {
    node = Insert(initial_state, tokens);
  } else if (!is_pinned) {
    unpinned_.erase(node->value->position);
  }
  if (!is_pinned) {
    Set(&*node->value, static_cast<int64_t>(tokens.size()), state, logits);
    pinned_bytes_ += bytes;
  }
  ++node->value->num_pins;
  const auto [pin, is_new] = pinned_.try_emplace(std::string(name));
  if (!is_new) Release(pin->second.node);
  pin->second = {node, expires};
  return absl::OkStatus();
}

absl::Status StateCache::CheckPin(absl::string_view name, Node* node,
                                  int64_t bytes) {
  auto names = static_cast<int64_t>(pinned_.size());
  int64_t pinned_bytes = pinned_bytes_;
  if (const auto old = pinned_.find(name); old != pinned_.end()) {
    --names;
    const Entry& entry = *old->second.node->value;
    const bool is_released = entry.num_pins == 1 && old->second.node != node;
    if (is_released) pinned_bytes -= BytesWithTokens(entry);
  }
  if (names >= limits_.max_pinned) {
    return WithQuota(
        FieldError(ErrorReason::kPinsExhausted, "pin",
                   absl::StrCat(names, " prefixes are pinned, the limit is ",
                                limits_.max_pinned)),
        "max_pinned_states");
  }
  const bool is_pinned = node != nullptr && node->value->num_pins > 0;
  if (is_pinned || pinned_bytes + bytes <= limits_.max_pinned_bytes) {
    return absl::OkStatus();
  }
  return WithQuota(
      FieldError(ErrorReason::kPinsExhausted, "pin",
                 absl::StrCat("the prefix takes ", bytes, " bytes; ",
                              pinned_bytes, " bytes are pinned, the limit is ",
                              limits_.max_pinned_bytes)),
      "pinned_states_mib");
}

bool StateCache::Unpin(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  const auto pin = pinned_.find(name);
  if (pin == pinned_.end()) return false;
  Release(pin->second.node);
  pinned_.erase(pin);
  return true;
}

void StateCache::Release(Node* node) {
  Entry& entry = *node->value;
  if (--entry.num_pins > 0) return;
  pinned_bytes_ -= BytesWithTokens(entry);
  entry.position = unpinned_.insert(unpinned_.begin(), node);
  MakeRoom(0);
}

void StateCache::Expire(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  for (auto pin = pinned_.begin(); pin != pinned_.end();) {
    if (now < pin->second.expires) {
      ++pin;
      continue;
    }
    Release(pin->second.node);
    pin = pinned_.erase(pin);
  }
}

std::vector<PinnedPrefix> StateCache::Pinned() const {
  std::vector<PinnedPrefix> pinned;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, pin] : pinned_) {
    const Entry& entry = *pin.node->value;
    pinned.push_back(
        {name, entry.known->num_tokens, BytesWithTokens(entry), pin.expires});
  }
  return pinned;
}

StateCache::Figures StateCache::figures() const {
  absl::MutexLock lock(&mutex_);
  return {BytesUsed(), entries_, evictions_,
          static_cast<int64_t>(pinned_.size())};
}

int64_t StateCache::BytesWithTokens(const Entry& entry) {
  return entry.bytes + entry.known->num_tokens * kTokenBytes;
}

int64_t StateCache::BytesUsed() const {
  int64_t bytes = entry_bytes_;
  for (const auto& [initial_state, tree] : trees_) {
    bytes += tree.num_tokens() * kTokenBytes;
  }
  return bytes;
}

}  // namespace rwkvd
