// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_tree.h"

#include <algorithm>
#include <utility>

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
      score(position.node, position.offset).wanted |= wanted;
      ++position.offset;
      ++i;
      continue;
    }
    const auto child = child_by_token_.find({position.node, tokens[i]});
    if (child == child_by_token_.end()) {
      const int32_t leaf =
          AddNode(position.node, tokens.subspan(i), scores_.size());
      scores_.resize(scores_.size() + tokens.size() - i, {.wanted = wanted});
      return {leaf, tokens.size() - i};
    }
    position = {child->second, 0};
  }
  return position;
}

int32_t ScoreTree::AddNode(int32_t parent, absl::Span<const int32_t> tokens,
                           size_t first_score) {
  const int32_t index = static_cast<int32_t>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.tokens = tokens;
  node.first_score = first_score;
  node.parent = parent;
  nodes_[parent].children.push_back(index);
  child_by_token_[{parent, tokens[0]}] = index;
  return index;
}

void ScoreTree::Split(int32_t index, size_t offset) {
  RWKVD_CHECK(offset > 0);
  const std::vector<int32_t> children = std::move(nodes_[index].children);
  nodes_[index].children.clear();
  const int32_t lower = AddNode(index, nodes_[index].tokens.subspan(offset),
                                nodes_[index].first_score + offset);
  Node& head = nodes_[index];
  Node& tail = nodes_[lower];
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
  // Both vectors are new ones, so that neither keeps the capacity of the other.
  const std::vector<End> ends = std::move(head.ends);
  head.ends = {};
  for (const End& end : ends) {
    if (end.offset > offset) {
      tail.ends.push_back({end.offset - offset, end.text});
    } else {
      head.ends.push_back(end);
    }
  }
}

void ScoreTree::AddEnd(Position position, int64_t text) {
  nodes_[position.node].ends.push_back({position.offset, text});
}

std::vector<int32_t> ScoreTree::TopDown() const {
  std::vector<int32_t> order = {kRoot};
  order.reserve(nodes_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const std::vector<int32_t>& children = nodes_[order[i]].children;
    order.insert(order.end(), children.begin(), children.end());
  }
  return order;
}

void ScoreTree::Finish() {
  const std::vector<int32_t> order = TopDown();
  std::vector<int64_t> num_texts(nodes_.size());
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Node& node = nodes_[*it];
    const auto is_smaller = [&](int32_t a, int32_t b) {
      return std::make_pair(nodes_[a].num_states, num_texts[a]) <
             std::make_pair(nodes_[b].num_states, num_texts[b]);
    };
    std::stable_sort(node.children.begin(), node.children.end(), is_smaller);
    std::stable_sort(
        node.ends.begin(), node.ends.end(),
        [](const End& a, const End& b) { return a.offset < b.offset; });
    num_texts[*it] = static_cast<int64_t>(node.ends.size());
    node.num_states = NumTokensToProcess(*it) > 0 ? 1 : 0;
    for (const int32_t child : node.children) {
      num_texts[*it] += num_texts[child];
      const int32_t below = nodes_[child].num_states;
      if (below == 0) continue;
      // All but the last child leave a state behind for the next one.
      node.num_states = std::max(
          node.num_states, child == node.children.back() ? below : below + 1);
    }
  }
}

size_t ScoreTree::NumTokensToProcess(int32_t index) const {
  const Node& node = nodes_[index];
  const size_t size = node.tokens.size();
  return node.children.empty() && size > 0 ? size - 1 : size;
}

bool ScoreTree::IsPredictionWanted(int32_t index, size_t offset) const {
  const Node& node = nodes_[index];
  if (offset + 1 < node.tokens.size()) return score(index, offset + 1).wanted;
  return std::any_of(node.children.begin(), node.children.end(),
                     [this](int32_t child) { return score(child, 0).wanted; });
}

}  // namespace rwkvd
