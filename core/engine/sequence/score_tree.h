// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SCORE_TREE_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SCORE_TREE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace rwkvd {

// The texts of a request for log-probabilities, as a prefix tree: a common
// prefix of several texts is stored and scored once.
//
// A node is a run of tokens that all texts through it share. At its end the
// texts branch, or the last of them ends. The root has no tokens. The caller
// owns the tokens and keeps them alive. Thread-compatible.
//
// Its memory is proportional to the tokens of all nodes (one Score each) and to
// the number of texts, however the texts branch.
class ScoreTree {
 public:
  static constexpr int32_t kRoot = 0;

  // The score of a token, given all tokens above it.
  struct Score {
    double logprob = 0;
    bool is_greedy = false;
    bool wanted = false;  // some text reports it
  };

  // Where a text ends.
  struct End {
    size_t offset = 0;  // the number of tokens of the node that belong to it
    int64_t text = 0;
  };

  struct Node {
    absl::Span<const int32_t> tokens;
    size_t first_score = 0;  // the score of tokens[0] among all scores
    int32_t parent = -1;
    // The states that processing the node and all below it needs, one after the
    // other, counting the one before the node; set by Finish. 0 if nothing must
    // be processed. A tree of n texts needs at most 1 + log2(n).
    int32_t num_states = 0;
    std::vector<int32_t> children;
    std::vector<End> ends;  // by ascending offset once Finish was called
  };

  // A position in the tree: after `offset` tokens of `node`.
  struct Position {
    int32_t node = kRoot;
    size_t offset = 0;
  };

  // `max_tokens` are the tokens of all texts, for which memory is reserved.
  explicit ScoreTree(size_t max_tokens = 0) : nodes_(1) {
    scores_.reserve(max_tokens);
  }

  // Inserts `tokens` after `position` and returns the position of their end.
  // `wanted` says whether their scores are reported. A position stays valid
  // until tokens are inserted that do not follow it.
  Position Insert(Position position, absl::Span<const int32_t> tokens,
                  bool wanted);

  // Marks `position`, which Insert has just returned, as the end of the text
  // with index `text`.
  void AddEnd(Position position, int64_t text);

  // Call after the last text. Orders children so that the one that needs the
  // most states comes last, where it takes the state of its parent: then the
  // tree needs as few states as possible.
  void Finish();

  size_t num_nodes() const { return nodes_.size(); }
  // The tokens of all nodes together.
  size_t num_tokens() const { return scores_.size(); }
  const Node& node(int32_t index) const { return nodes_[index]; }
  // The score of the node's token at `offset`.
  Score& score(int32_t node, size_t offset) {
    return scores_[nodes_[node].first_score + offset];
  }
  const Score& score(int32_t node, size_t offset) const {
    return scores_[nodes_[node].first_score + offset];
  }

  // The number of the node's tokens that must be processed: without the last
  // one if no token follows it.
  size_t NumTokensToProcess(int32_t node) const;
  // Whether the score of a token that follows `offset`, in the node or in a
  // child, is wanted.
  bool IsPredictionWanted(int32_t node, size_t offset) const;

  // Calls visit(token, score), in order, for the last `num` tokens of the text
  // that ends at `end`.
  template <typename Visit>
  void VisitText(Position end, size_t num, Visit visit) const {
    std::vector<std::pair<const Node*, size_t>> path;  // nodes and token counts
    for (size_t left = num; left > 0;) {
      const Node& node = nodes_[end.node];
      path.emplace_back(&node, end.offset);
      left -= std::min(left, end.offset);
      if (left == 0) break;
      end = {node.parent, nodes_[node.parent].tokens.size()};
    }
    size_t above = 0;
    for (const auto& [node, size] : path) above += size;
    size_t skip = above - num;
    for (auto it = path.rbegin(); it != path.rend(); ++it) {
      for (size_t i = skip; i < it->second; ++i) {
        visit(it->first->tokens[i], scores_[it->first->first_score + i]);
      }
      skip = 0;
    }
  }

 private:
  // Adds a node whose scores begin at `first_score`.
  int32_t AddNode(int32_t parent, absl::Span<const int32_t> tokens,
                  size_t first_score);
  // Splits a node into two before the token at `offset`, which is at least 1.
  void Split(int32_t node, size_t offset);

  // All nodes, parents before their children.
  std::vector<int32_t> TopDown() const;

  std::vector<Node> nodes_;
  // Of all nodes. A split leaves them where they are.
  std::vector<Score> scores_;
  // The child of a node, by the node and the child's first token.
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> child_by_token_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SCORE_TREE_H_
