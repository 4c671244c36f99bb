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

// A radix tree of values by sequences of tokens. One walk along a sequence
// finds all of its stored prefixes. Sequences with a common prefix share its
// tokens.
//
// A node has at most 9/8 of the capacity that its tokens need. Owned by the
// state cache; thread-compatible. Each node except the root has a value
// or at least two children, so there are at most two nodes per value.
template <typename Value>
class PrefixTree {
 public:
  // Its address does not change while it has a value.
  struct Node {
    Node* parent = nullptr;
    std::vector<int32_t> tokens;  // from the parent to here; not empty
    absl::flat_hash_map<int32_t, std::unique_ptr<Node>>
        children;  // by first token
    std::optional<Value> value;
  };

  PrefixTree() : root_(std::make_unique<Node>()) {}
  PrefixTree(PrefixTree&&) = default;
  ~PrefixTree() { Clear(); }

  // Calls visit(n, node) for each node with a value whose sequence is the first
  // n of `tokens`, shortest first. Returns the number of leading tokens that
  // are also leading tokens of a stored sequence. O(tokens.size()).
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

  // The node of exactly `tokens`, which are not empty. If it has no value, the
  // caller must set one. O(tokens.size()).
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

  // Removes the value of `node`, and the nodes that are not needed without it.
  void Remove(Node* node) {
    node->value.reset();
    if (node->children.empty()) {
      Node* const parent = node->parent;
      num_tokens_ -= static_cast<int64_t>(node->tokens.size());
      const int32_t first = node->tokens[0];
      parent->children.erase(first);
      const size_t num_children = parent->children.size();
      if (parent->children.capacity() > kMinShrink &&
          num_children < parent->children.capacity() / 8) {
        parent->children.rehash(0);
      }
      node = parent;
    }
    Merge(node);
  }

  // The tokens of all nodes; those of a common prefix count once.
  int64_t num_tokens() const { return num_tokens_; }

 private:
  // Capacity from which a map of children shrinks when most are removed.
  static constexpr size_t kMinShrink = 16;

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

  // Splits `*node` after its first `length` tokens, which move to a new parent.
  static void Split(std::unique_ptr<Node>* node, size_t length) {
    std::unique_ptr<Node> lower = std::move(*node);
    auto upper = std::make_unique<Node>();
    const auto middle = lower->tokens.begin() + length;
    upper->parent = lower->parent;
    upper->tokens.assign(lower->tokens.begin(), middle);
    // A new vector, so that it does not keep the capacity of the whole one.
    lower->tokens = std::vector<int32_t>(middle, lower->tokens.end());
    lower->parent = upper.get();
    upper->children.emplace(lower->tokens[0], std::move(lower));
    *node = std::move(upper);
  }

  // Merges `node` into its child if it has no value and only one child. The
  // amortized cost is proportional to the child's tokens, so that a long chain
  // can be removed from its beginning.
  void Merge(Node* node) {
    if (node->parent == nullptr || node->value.has_value() ||
        node->children.size() != 1) {
      return;
    }
    std::unique_ptr<Node> lower = std::move(node->children.begin()->second);
    std::vector<int32_t> tokens = std::move(node->tokens);
    const size_t size = tokens.size() + lower->tokens.size();
    if (tokens.capacity() < size) tokens.reserve(size + size / 8);
    tokens.insert(tokens.end(), lower->tokens.begin(), lower->tokens.end());
    lower->tokens = std::move(tokens);
    lower->parent = node->parent;
    const int32_t first = lower->tokens[0];
    node->parent->children[first] = std::move(lower);  // deletes node
  }

  // Without recursion, because a tree may be too deep for the stack.
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

  std::unique_ptr<Node> root_;  // has no tokens
  int64_t num_tokens_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_PREFIX_TREE_H_
