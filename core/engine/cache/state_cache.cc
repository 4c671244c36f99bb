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

StateCache::Found StateCache::Lookup(const PrefixStart& start,
                                     absl::Span<const int32_t> tokens) {
  Found found;
  absl::MutexLock lock(&mutex_);
  const auto tree = trees_.find(start);
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

void StateCache::Store(const PrefixStart& start,
                       absl::Span<const int32_t> tokens, const State& state,
                       absl::Span<const float> logits) {
  const int64_t bytes = BytesOf(state, logits) + BytesOf(tokens);
  if (bytes > limits_.max_bytes) return;
  absl::MutexLock lock(&mutex_);
  Node* node = Find(start, tokens);
  if (node == nullptr) {
    MakeRoom(bytes);
    node = Insert(start, tokens);
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

StateCache::Node* StateCache::Find(const PrefixStart& start,
                                   absl::Span<const int32_t> tokens) {
  Node* found = nullptr;
  const auto tree = trees_.find(start);
  if (tree == trees_.end()) return found;
  tree->second.Walk(tokens, [&](size_t length, Node* node) {
    if (length == tokens.size()) found = node;
  });
  return found;
}

StateCache::Node* StateCache::Insert(const PrefixStart& start,
                                     absl::Span<const int32_t> tokens) {
  Tree& tree = trees_[start];
  tree_tokens_ -= tree.num_tokens();
  Node* const node = tree.Insert(tokens);
  tree_tokens_ += tree.num_tokens();
  node->value.emplace();
  node->value->start = start;
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
    const auto tree = trees_.find(node->value->start);
    tree_tokens_ -= tree->second.num_tokens();
    tree->second.Remove(node);
    tree_tokens_ += tree->second.num_tokens();
    if (tree->second.num_tokens() == 0) trees_.erase(tree);
  }
}

absl::Status StateCache::Pin(absl::string_view name, absl::Time expires,
                             const PrefixStart& start,
                             absl::Span<const int32_t> tokens,
                             const State& state, absl::Span<const float> logits,
                             int64_t max_names) {
  const int64_t bytes = BytesOf(state, logits) + BytesOf(tokens);
  absl::MutexLock lock(&mutex_);
  Node* node = Find(start, tokens);
  const PinName pin_name(start.partition, name);
  RWKVD_RETURN_IF_ERROR(CheckPin(pin_name, max_names, node, bytes));
  const bool is_pinned = node != nullptr && node->value->num_pins > 0;
  if (node == nullptr) {
    node = Insert(start, tokens);
  } else if (!is_pinned) {
    unpinned_.erase(node->value->position);
  }
  if (!is_pinned) {
    Set(&*node->value, static_cast<int64_t>(tokens.size()), state, logits);
    pinned_bytes_ += bytes;
  }
  ++node->value->num_pins;
  const auto [pin, is_new] = pinned_.try_emplace(pin_name);
  if (!is_new) Release(pin->second.node);
  pin->second = {node, expires};
  return absl::OkStatus();
}

absl::Status StateCache::CheckPin(const PinName& pin, int64_t max_names,
                                  Node* node, int64_t bytes) {
  auto names = static_cast<int64_t>(pinned_.size());
  int64_t own_names = 0;  // of the partition
  for (auto own = pinned_.lower_bound({pin.first, ""});
       own != pinned_.end() && own->first.first == pin.first; ++own) {
    ++own_names;
  }
  int64_t pinned_bytes = pinned_bytes_;
  if (const auto old = pinned_.find(pin); old != pinned_.end()) {
    --names;
    --own_names;
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
  if (own_names >= max_names) {
    return WithQuota(
        FieldError(ErrorReason::kPinsExhausted, "pin",
                   absl::StrCat(own_names,
                                " prefixes of this identity or its group are "
                                "pinned, the limit is ",
                                max_names)),
        "max_pins");
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

bool StateCache::Unpin(absl::string_view name, absl::string_view partition) {
  absl::MutexLock lock(&mutex_);
  const auto pin = pinned_.find(PinName(partition, name));
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

std::vector<PinnedPrefix> StateCache::Pinned(
    absl::string_view partition) const {
  std::vector<PinnedPrefix> pinned;
  absl::MutexLock lock(&mutex_);
  for (auto pin = pinned_.lower_bound(PinName(partition, ""));
       pin != pinned_.end() && pin->first.first == partition; ++pin) {
    const Entry& entry = *pin->second.node->value;
    pinned.push_back({pin->first.second, entry.known->num_tokens,
                      BytesWithTokens(entry), pin->second.expires});
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
  return entry_bytes_ + tree_tokens_ * kTokenBytes;
}

}  // namespace rwkvd
