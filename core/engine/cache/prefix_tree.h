// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_PREFIX_TREE_H_
#define RWKVD_CORE_ENGINE_CACHE_PREFIX_TREE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace rwkvd {

// Values by sequences of tokens, such that all stored prefixes of a sequence
// are found in one walk along it. Sequences that begin alike share the tokens
// of their beginning.
//
// Owned by the state cache; thread-compatible. Each node but the root has a
// value or leads to several others: so there are at most two for each value.
template <typename Value>
class PrefixTree {
 public:
  // A place in the tree. Stays where it is as long as it has a value.
  struct Node {
    Node* parent = nullptr;
    std::vector<int32_t> tokens;  // from the parent to here; not empty
    absl::flat_hash_map<int32_t, std::unique_ptr<Node>> children;  // by first
    std::optional<Value> value;
  };

  PrefixTree() : root_(std::make_unique<Node>()) {}
  PrefixTree(PrefixTree&&) = default;
  ~PrefixTree() { Clear(); }

  // Calls `visit` for each value whose tokens are a prefix of `tokens`,
  // shortest first, with their number. Returns how many of `tokens` begin some
  // stored sequence. O(tokens.size()).
  size_t Walk(absl::Span<const int32_t> tokens,
              absl::FunctionRef<void(size_t, Node*)> visit) const {
    size_t length = 0;
    for (Node* node = root_.get(); length < tokens.size();) {
      const auto child = node->children.find(tokens[length]);
      if (child == node->children.end()) break;
      node = child->second.get();
      const size_t common = Common(node->tokens, tokens.subspan(length));
      length += common;
      if (common < node->tokens.size()) break;
      if (node->value.has_value()) visit(length, node);
    }
    return length;
  }

  // The node of exactly `tokens`, which are not empty. One that had no value
  // must get one. O(tokens.size()).
  Node* Insert(absl::Span<const int32_t> tokens) {
    Node* node = root_.get();
    while (!tokens.empty()) {
      std::unique_ptr<Node>& child = node->children[tokens[0]];
      if (child == nullptr) return (child = NewLeaf(node, tokens)).get();
      const size_t common = Common(child->tokens, tokens);
      if (common < child->tokens.size()) Split(&child, common);
      node = child.get();
      tokens.remove_prefix(common);
    }
    return node;
  }

  // Takes away the value of a node, and what then leads nowhere.
  void Remove(Node* node) {
    node->value.reset();
    if (node->children.empty()) {
      Node* const parent = node->parent;
      num_tokens_ -= static_cast<int64_t>(node->tokens.size());
      const int32_t first = node->tokens[0];
      parent->children.erase(first);
      node = parent;
    }
    Join(node);
  }

  // Tokens kept, those of shared beginnings once.
  int64_t num_tokens() const { return num_tokens_; }

 private:
  static size_t Common(absl::Span<const int32_t> a,
                       absl::Span<const int32_t> b) {
    const size_t n = std::min(a.size(), b.size());
    return std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin();
  }

  std::unique_ptr<Node> NewLeaf(Node* parent,
                                absl::Span<const int32_t> tokens) {
    auto leaf = std::make_unique<Node>();
    leaf->parent = parent;
    leaf->tokens.assign(tokens.begin(), tokens.end());
    num_tokens_ += static_cast<int64_t>(tokens.size());
    return leaf;
  }

  // Puts a node above `*place`, `length` tokens below their parent.
  static void Split(std::unique_ptr<Node>* place, size_t length) {
    std::unique_ptr<Node> lower = std::move(*place);
    auto upper = std::make_unique<Node>();
    const auto middle = lower->tokens.begin() + length;
    upper->parent = lower->parent;
    upper->tokens.assign(lower->tokens.begin(), middle);
    lower->tokens.erase(lower->tokens.begin(), middle);
    lower->parent = upper.get();
    upper->children.emplace(lower->tokens[0], std::move(lower));
    *place = std::move(upper);
  }

  // Drops `node` if all it does is lead to one other. Costs no more than the
  // tokens of that one, amortized, so that a long chain can be taken apart from
  // its beginning.
  void Join(Node* node) {
    if (node->parent == nullptr || node->value.has_value() ||
        node->children.size() != 1) {
      return;
    }
    std::unique_ptr<Node> lower = std::move(node->children.begin()->second);
    std::vector<int32_t> tokens = std::move(node->tokens);
    tokens.insert(tokens.end(), lower->tokens.begin(), lower->tokens.end());
    lower->tokens = std::move(tokens);
    lower->parent = node->parent;
    const int32_t first = lower->tokens[0];
    node->parent->children[first] = std::move(lower);  // deletes node
  }

  // Level by level: a tree may be deeper than a stack.
  void Clear() {
    std::vector<std::unique_ptr<Node>> nodes;
    if (root_ != nullptr) nodes.push_back(std::move(root_));
    while (!nodes.empty()) {
      std::unique_ptr<Node> node = std::move(nodes.back());
      nodes.pop_back();
      for (auto& [first, child] : node->children) {
        nodes.push_back(std::move(child));
      }
    }
  }

  std::unique_ptr<Node> root_;  // of no tokens
  int64_t num_tokens_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_PREFIX_TREE_H_
