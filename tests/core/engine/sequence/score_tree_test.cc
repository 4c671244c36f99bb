// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_tree.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/process_memory.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Tokens = std::vector<int32_t>;

// All nodes, by the tokens from the root to their end.
std::map<Tokens, int32_t> NodesByPath(const ScoreTree& tree) {
  std::map<Tokens, int32_t> nodes;
  for (size_t i = 0; i < tree.num_nodes(); ++i) {
    Tokens path;
    for (int32_t at = static_cast<int32_t>(i); at >= 0;
         at = tree.node(at).parent) {
      const auto tokens = tree.node(at).tokens;
      path.insert(path.begin(), tokens.begin(), tokens.end());
    }
    EXPECT_TRUE(nodes.emplace(path, i).second);
  }
  return nodes;
}

TEST(ScoreTreeTest, TextsBranchWhereTheyDiffer) {
  const std::vector<Tokens> texts = {{1, 2, 3}, {1, 2, 4, 5}, {1, 2}, {6}};
  ScoreTree tree;
  for (size_t i = 0; i < texts.size(); ++i) {
    tree.AddEnd(tree.Insert({}, texts[i], true), i);
  }
  tree.Finish();
  const auto nodes = NodesByPath(tree);
  ASSERT_EQ(nodes.size(), 5);
  const int32_t shared = nodes.at({1, 2});
  EXPECT_THAT(tree.node(shared).children,
              ElementsAre(nodes.at({1, 2, 3}), nodes.at({1, 2, 4, 5})));
  ASSERT_EQ(tree.node(shared).ends.size(), 1);
  EXPECT_EQ(tree.node(shared).ends[0].text, 2);
  EXPECT_EQ(tree.NumTokensToProcess(shared), 2);
  EXPECT_EQ(tree.NumTokensToProcess(nodes.at({1, 2, 3})), 0);
  EXPECT_EQ(tree.NumTokensToProcess(nodes.at({1, 2, 4, 5})), 1);
  EXPECT_EQ(tree.NumTokensToProcess(ScoreTree::kRoot), 0);
  // The child with the most texts comes last.
  EXPECT_THAT(tree.node(ScoreTree::kRoot).children,
              ElementsAre(nodes.at({6}), shared));
  EXPECT_EQ(tree.num_tokens(), 6);
}

TEST(ScoreTreeTest, OnlyScoredTokensAreWanted) {
  const Tokens context = {1, 2, 3, 4, 5}, shorter = {1, 2};
  const Tokens a = {6, 7}, b = {3}, c = {3, 9};
  ScoreTree tree;
  tree.AddEnd(tree.Insert(tree.Insert({}, context, false), a, true), 0);
  const ScoreTree::Position position = tree.Insert({}, shorter, false);
  tree.AddEnd(tree.Insert(position, b, true), 1);
  tree.AddEnd(tree.Insert(position, c, true), 2);
  tree.Finish();
  const auto nodes = NodesByPath(tree);
  const int32_t trunk = nodes.at({1, 2, 3});
  EXPECT_FALSE(tree.IsPredictionWanted(trunk, 0));
  EXPECT_TRUE(tree.IsPredictionWanted(trunk, 1));
  EXPECT_TRUE(tree.IsPredictionWanted(trunk, 2));  // of token 9
  const int32_t rest = nodes.at({1, 2, 3, 4, 5});
  EXPECT_FALSE(tree.IsPredictionWanted(rest, 0));
  EXPECT_TRUE(tree.IsPredictionWanted(rest, 1));  // of token 6
  const int32_t end = nodes.at({1, 2, 3, 4, 5, 6, 7});
  EXPECT_TRUE(tree.IsPredictionWanted(end, 0));
}

TEST(ScoreTreeTest, RandomTextsAreStoredOnceAndFoundAgain) {
  std::mt19937 random(8);
  for (int round = 0; round < 500; ++round) {
    std::vector<Tokens> contexts(1 + random() % 5);
    std::vector<std::pair<size_t, Tokens>> texts;
    for (size_t i = 0; i < contexts.size(); ++i) {
      contexts[i].resize(random() % 6);
      for (int32_t& token : contexts[i]) token = random() % 3;
      for (int j = 1 + random() % 5; j > 0; --j) {
        Tokens tokens(1 + random() % 6);
        for (int32_t& token : tokens) token = random() % 3;
        texts.emplace_back(i, tokens);
      }
    }
    ScoreTree tree;
    std::set<Tokens> prefixes;
    std::vector<ScoreTree::Position> ends;
    ScoreTree::Position position;
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto& [context, tokens] = texts[i];
      if (i == 0 || context != texts[i - 1].first) {
        position = tree.Insert({}, contexts[context], false);
      }
      tree.AddEnd(tree.Insert(position, tokens, true), i);
      Tokens all = contexts[context];
      all.insert(all.end(), tokens.begin(), tokens.end());
      for (; !all.empty(); all.pop_back()) prefixes.insert(all);
    }
    tree.Finish();
    ASSERT_EQ(tree.num_tokens(), prefixes.size());
    // The score of each token is its position in its text.
    std::set<int64_t> found;
    for (size_t n = 0; n < tree.num_nodes(); ++n) {
      size_t depth = 0;
      for (int32_t at = tree.node(n).parent; at >= 0;
           at = tree.node(at).parent) {
        depth += tree.node(at).tokens.size();
      }
      for (size_t i = 0; i < tree.node(n).tokens.size(); ++i) {
        tree.score(n, i).logprob = depth + i;
      }
    }
    for (size_t n = 0; n < tree.num_nodes(); ++n) {
      for (const ScoreTree::End& end : tree.node(n).ends) {
        ASSERT_TRUE(found.insert(end.text).second);
        const auto& [context, tokens] = texts[end.text];
        Tokens visited;
        double next = contexts[context].size();
        tree.VisitText({static_cast<int32_t>(n), end.offset}, tokens.size(),
                       [&](int32_t id, const ScoreTree::Score& score) {
                         visited.push_back(id);
                         ASSERT_EQ(score.logprob, next++);
                         ASSERT_TRUE(score.wanted);
                       });
        ASSERT_EQ(visited, tokens);
      }
    }
    ASSERT_EQ(found.size(), texts.size());
  }
}

// The memory that a tree of `texts` takes, in bytes.
int64_t MemoryOf(const std::vector<Tokens>& texts) {
  return testing::PeakBytes([&] {
    ScoreTree tree;
    for (size_t i = 0; i < texts.size(); ++i) {
      tree.AddEnd(tree.Insert({}, texts[i], true), i);
    }
    tree.Finish();
  });
}

TEST(ScoreTreeTest, MemoryIsProportionalToTokensHoweverTextsBranch) {
  std::vector<Tokens> texts = {Tokens(400000, 1)};
  for (size_t i = 1; i <= 1000; ++i) {
    texts.emplace_back(i, 1).back() = 2;
  }
  // 6 MiB of scores, which double while the vector grows.
  EXPECT_LT(MemoryOf(texts), 40 << 20);
  // From the end, each split leaves the rest of the upper node.
  std::reverse(texts.begin() + 1, texts.end());
  EXPECT_LT(MemoryOf(texts), 40 << 20);
}

TEST(ScoreTreeTest, MemoryIsProportionalToTextsHoweverTheirNodesSplit) {
  // Many texts end within one long node, which is then split again and again.
  std::vector<Tokens> texts = {Tokens(2100, 1)};
  for (size_t i = 1; i <= 2000; ++i) texts.emplace_back(i, 1);
  for (size_t i = 1; i <= 2000; ++i) {
    texts.emplace_back(i + 1, 1).back() = 2;
  }
  EXPECT_LT(MemoryOf(texts), 16 << 20);
}

TEST(ScoreTreeTest, ChainOfBranchesNeedsTwoStates) {
  ScoreTree tree;
  std::vector<Tokens> texts = {Tokens(100, 1)};
  for (size_t i = 2; i < 90; ++i) {
    texts.emplace_back(i + 3, 1);
    texts.back()[i] = 2;
  }
  for (const Tokens& text : texts) tree.AddEnd(tree.Insert({}, text, true), 0);
  tree.Finish();
  EXPECT_EQ(tree.node(ScoreTree::kRoot).num_states, 2);
}

TEST(ScoreTreeTest, StatesOfABinaryTreeAreItsDepth) {
  for (const int depth : {0, 1, 2, 5, 12}) {
    ScoreTree tree;
    std::vector<Tokens> texts;
    for (int leaf = 0; leaf < 1 << depth; ++leaf) {
      Tokens& text = texts.emplace_back(Tokens{7, 7});
      for (int bit = 0; bit < depth; ++bit) {
        text.insert(text.end(), 2, leaf >> bit & 1);
      }
    }
    for (const Tokens& text : texts) {
      tree.AddEnd(tree.Insert({}, text, true), 0);
    }
    tree.Finish();
    EXPECT_EQ(tree.node(ScoreTree::kRoot).num_states, depth + 1);
  }
}

TEST(ScoreTreeTest, SingleTokensNeedNoState) {
  ScoreTree tree;
  const Tokens a = {1}, b = {2};
  tree.AddEnd(tree.Insert({}, a, true), 0);
  tree.AddEnd(tree.Insert({}, b, true), 1);
  tree.Finish();
  EXPECT_EQ(tree.node(ScoreTree::kRoot).num_states, 0);
}

}  // namespace
}  // namespace rwkvd
