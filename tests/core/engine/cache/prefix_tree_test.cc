// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/prefix_tree.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Tokens = std::vector<int32_t>;
using Tree = PrefixTree<int>;
using Found = std::vector<std::pair<size_t, int>>;

Tree::Node* Put(Tree* tree, const Tokens& tokens, int value) {
  Tree::Node* const node = tree->Insert(tokens);
  node->value = value;
  return node;
}

size_t Walk(const Tree& tree, const Tokens& tokens, Found* found) {
  return tree.Walk(tokens, [&](size_t length, Tree::Node* node) {
    found->push_back({length, *node->value});
  });
}

TEST(PrefixTreeTest, WalkFindsEveryPrefixAndItsLength) {
  Tree tree;
  Put(&tree, {1, 2, 3, 4}, 10);
  Put(&tree, {1, 2}, 11);
  Put(&tree, {1, 2, 5}, 12);
  Found found;
  EXPECT_EQ(Walk(tree, {1, 2, 3, 4, 5}, &found), 4);
  EXPECT_THAT(found, ElementsAre(Pair(2, 11), Pair(4, 10)));
  found.clear();
  EXPECT_EQ(Walk(tree, {1, 2, 3, 9}, &found), 3);
  EXPECT_THAT(found, ElementsAre(Pair(2, 11)));
  found.clear();
  EXPECT_EQ(Walk(tree, {2}, &found), 0);
  EXPECT_THAT(found, IsEmpty());
  EXPECT_EQ(tree.num_tokens(), 5);
}

TEST(PrefixTreeTest, LongChainCanBeRemovedFromEitherEnd) {
  for (const bool from_the_end : {false, true}) {
    Tree tree;
    std::vector<Tree::Node*> nodes;
    const Tokens tokens(2000, 7);
    for (size_t length = 1; length <= tokens.size(); ++length) {
      nodes.push_back(tree.Insert(absl::MakeConstSpan(tokens).first(length)));
      nodes.back()->value = 0;
    }
    if (from_the_end) std::reverse(nodes.begin(), nodes.end());
    for (Tree::Node* node : nodes) tree.Remove(node);
    EXPECT_EQ(tree.num_tokens(), 0);
  }
}

TEST(PrefixTreeTest, DeepTreeDoesNotOverflowTheStack) {
  Tree tree;
  Tokens tokens;
  // Each sequence is a prefix of the next. Inserting the longest first keeps
  // each insertion short.
  for (int i = 0; i < 2000; ++i) tokens.push_back(i % 3);
  for (size_t length = tokens.size(); length > 0; --length) {
    tree.Insert(absl::MakeConstSpan(tokens).first(length))->value = 1;
  }
  EXPECT_EQ(tree.num_tokens(), 2000);
}

TEST(PrefixTreeTest, RandomUseEqualsAMap) {
  std::mt19937 random(3);
  Tree tree;
  std::map<Tokens, std::pair<Tree::Node*, int>> all;
  for (int round = 0; round < 1000; ++round) {
    Tokens tokens(1 + random() % 7);
    for (int32_t& token : tokens) token = random() % 3;
    if (random() % 2 == 0) {
      all[tokens] = {Put(&tree, tokens, round), round};
    } else if (const auto it = all.find(tokens); it != all.end()) {
      tree.Remove(it->second.first);
      all.erase(it);
    }
    Found expected;
    size_t shared = 0;
    std::set<Tokens> prefixes;
    for (const auto& [stored, entry] : all) {
      const size_t common = std::mismatch(stored.begin(), stored.end(),
                                          tokens.begin(), tokens.end())
                                .first -
                            stored.begin();
      shared = std::max(shared, common);
      if (common == stored.size()) {
        expected.push_back({stored.size(), entry.second});
      }
      for (size_t n = 1; n <= stored.size(); ++n) {
        prefixes.insert({stored.begin(), stored.begin() + n});
      }
    }
    std::sort(expected.begin(), expected.end());
    Found found;
    ASSERT_EQ(Walk(tree, tokens, &found), shared);
    ASSERT_EQ(found, expected);
    ASSERT_EQ(tree.num_tokens(), static_cast<int64_t>(prefixes.size()));
  }
}

}  // namespace
}  // namespace rwkvd
