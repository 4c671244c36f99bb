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

// The texts of a request for log-probabilities, laid over one another: what
// several of them begin with is there once, and so is its score.
//
// A node is a run of tokens that all texts through it share; at its end they
// part, or the last of them ends. The root has no tokens. Views tokens that
// somebody else owns. Thread-compatible.
class ScoreTree {
 public:
  static constexpr int32_t kRoot = 0;

  // Of a token, after all those above it.
  struct Score {
    double logprob = 0;
    bool is_greedy = false;
    bool wanted = false;  // by some text
  };

  // Where a text ends.
  struct End {
    size_t offset = 0;  // tokens of the node that are its own
    int64_t text = 0;
  };

  struct Node {
    absl::Span<const int32_t> tokens;
    std::vector<Score> scores;  // of tokens
    int32_t parent = -1;
    std::vector<int32_t> children;
    std::vector<End> ends;  // of ascending offsets once Finish was called
  };

  // A place between two tokens: after `offset` tokens of `node`.
  struct Place {
    int32_t node = kRoot;
    size_t offset = 0;
  };

  ScoreTree() : nodes_(1) {}

  // Lays `tokens` down from `place` on, whose scores are wanted or not, and
  // returns where they end. A place stays valid while nothing but what goes on
  // from it is laid down.
  Place Insert(Place place, absl::Span<const int32_t> tokens, bool wanted);

  // The text of that number, one of those that want scores, ends at `place`,
  // which Insert has just returned.
  void AddEnd(Place place, int64_t text);

  // After the last text: orders children so that the one with the most texts
  // comes last, for a walk that keeps few states.
  void Finish();

  size_t num_nodes() const { return nodes_.size(); }
  // Of all nodes.
  size_t num_tokens() const { return num_tokens_; }
  const Node& node(int32_t index) const { return nodes_[index]; }
  Score& score(int32_t node, size_t offset) {
    return nodes_[node].scores[offset];
  }

  // How many of its tokens must be read: where nothing follows, not the last.
  size_t TokensToRead(int32_t node) const;
  // Whether what follows that token, in the node or below, is to be scored.
  bool IsPredictionWanted(int32_t node, size_t offset) const;

  // Calls visit(token, score) for the last `num` tokens, in order, of the text
  // that ends at `end`.
  template <typename Visit>
  void VisitText(Place end, size_t num, Visit visit) const {
    std::vector<std::pair<const Node*, size_t>> path;  // tokens of each
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
        visit(it->first->tokens[i], it->first->scores[i]);
      }
      skip = 0;
    }
  }

 private:
  int32_t AddNode(int32_t parent, absl::Span<const int32_t> tokens);
  // Cuts a node in two before the token at `offset`, at least one.
  void Split(int32_t node, size_t offset);

  std::vector<Node> nodes_;
  size_t num_tokens_ = 0;
  // The child of a node that begins with a token.
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> child_by_token_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SCORE_TREE_H_
