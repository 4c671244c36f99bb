// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_tree.h"

#include <algorithm>

#include "core/base/check.h"

namespace rwkvd {

ScoreTree::Position ScoreTree::Insert(Position position,
                                      absl::Span<const int32_t> tokens,
                                      bool wanted) {
  for (size_t i = 0; i < tokens.size();) {
    Node& node = nodes_[position.node];
    if (position.offset < node.tokens.size()) {
      if (node.tokens[position.offset] != tokens[i]) {
        Split(position.node, position.offset);
        continue;
      }
      node.scores[position.offset].wanted |= wanted;
      ++position.offset;
      ++i;
      continue;
    }
    const auto child = child_by_token_.find({position.node, tokens[i]});
    if (child == child_by_token_.end()) {
      const int32_t leaf = AddNode(position.node, tokens.subspan(i));
      for (Score& score : nodes_[leaf].scores) score.wanted = wanted;
      num_tokens_ += tokens.size() - i;
      return {leaf, tokens.size() - i};
    }
    position = {child->second, 0};
  }
  return position;
}

int32_t ScoreTree::AddNode(int32_t parent, absl::Span<const int32_t> tokens) {
  const int32_t index = static_cast<int32_t>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.tokens = tokens;
  node.scores.resize(tokens.size());
  node.parent = parent;
  nodes_[parent].children.push_back(index);
  child_by_token_[{parent, tokens[0]}] = index;
  return index;
}

void ScoreTree::Split(int32_t index, size_t offset) {
  RWKVD_CHECK(offset > 0);
  const std::vector<int32_t> children = std::move(nodes_[index].children);
  nodes_[index].children.clear();
  const int32_t lower = AddNode(index, nodes_[index].tokens.subspan(offset));
  Node& head = nodes_[index];
  Node& tail = nodes_[lower];
  std::copy(head.scores.begin() + offset, head.scores.end(),
            tail.scores.begin());
  head.scores.resize(offset);
  head.tokens = head.tokens.first(offset);
  tail.children = children;
  for (const int32_t child : children) {
    const int32_t token = nodes_[child].tokens[0];
    // Keeps the edge to `lower`, which may begin with the same token.
    const auto edge = child_by_token_.find({index, token});
    if (edge != child_by_token_.end() && edge->second == child) {
      child_by_token_.erase(edge);
    }
    child_by_token_[{lower, token}] = child;
    nodes_[child].parent = lower;
  }
  for (const End& end : head.ends) {
    if (end.offset > offset) {
      tail.ends.push_back({end.offset - offset, end.text});
    }
  }
  std::erase_if(head.ends,
                [offset](const End& end) { return end.offset > offset; });
}

void ScoreTree::AddEnd(Position position, int64_t text) {
  nodes_[position.node].ends.push_back({position.offset, text});
}

void ScoreTree::Finish() {
  std::vector<int64_t> num_texts(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const auto ends = static_cast<int64_t>(nodes_[i].ends.size());
    for (int32_t at = static_cast<int32_t>(i); ends > 0 && at >= 0;
         at = nodes_[at].parent) {
      num_texts[at] += ends;
    }
  }
  for (Node& node : nodes_) {
    std::stable_sort(
        node.children.begin(), node.children.end(),
        [&](int32_t a, int32_t b) { return num_texts[a] < num_texts[b]; });
    std::stable_sort(
        node.ends.begin(), node.ends.end(),
        [](const End& a, const End& b) { return a.offset < b.offset; });
  }
}

size_t ScoreTree::NumTokensToProcess(int32_t index) const {
  const Node& node = nodes_[index];
  const size_t size = node.tokens.size();
  return node.children.empty() && size > 0 ? size - 1 : size;
}

bool ScoreTree::IsPredictionWanted(int32_t index, size_t offset) const {
  const Node& node = nodes_[index];
  if (offset + 1 < node.tokens.size()) return node.scores[offset + 1].wanted;
  return std::any_of(
      node.children.begin(), node.children.end(),
      [this](int32_t child) { return nodes_[child].scores[0].wanted; });
}

}  // namespace rwkvd
