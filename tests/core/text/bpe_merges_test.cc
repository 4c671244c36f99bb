// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_merges.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<TokenId> Apply(const BpeMerges& merges,
                           const std::vector<TokenId>& word) {
  BpeMerges::Scratch scratch;
  std::vector<TokenId> out;
  merges.Apply(word, &scratch, &out);
  return out;
}

TEST(BpeMergesTest, LowestRankIsMergedFirstAtAnyPosition) {
  BpeMerges merges;
  ASSERT_TRUE(merges.Add(2, 3, 23));
  ASSERT_TRUE(merges.Add(1, 2, 12));
  ASSERT_TRUE(merges.Add(1, 23, 123));
  EXPECT_THAT(Apply(merges, {1, 2, 3}), ElementsAre(123));
  EXPECT_THAT(Apply(merges, {1, 2, 1, 2, 3}), ElementsAre(12, 123));
}

TEST(BpeMergesTest, LeftmostOfEqualPairsIsMergedFirst) {
  BpeMerges merges;
  ASSERT_TRUE(merges.Add(1, 1, 11));
  EXPECT_THAT(Apply(merges, {1, 1, 1}), ElementsAre(11, 1));
  EXPECT_THAT(Apply(merges, {1, 1, 1, 1, 1}), ElementsAre(11, 11, 1));
}

TEST(BpeMergesTest, WordWithoutApplicableRuleIsUnchanged) {
  const BpeMerges merges;
  EXPECT_THAT(Apply(merges, {}), IsEmpty());
  EXPECT_THAT(Apply(merges, {5}), ElementsAre(5));
  EXPECT_THAT(Apply(merges, {5, 6}), ElementsAre(5, 6));
}

TEST(BpeMergesTest, SecondRuleForPairIsRefused) {
  BpeMerges merges;
  EXPECT_TRUE(merges.Add(1, 2, 12));
  EXPECT_FALSE(merges.Add(1, 2, 99));
  EXPECT_THAT(Apply(merges, {1, 2}), ElementsAre(12));
}

TEST(BpeMergesTest, ApplyAppendsAndScratchIsReusable) {
  BpeMerges merges;
  ASSERT_TRUE(merges.Add(1, 2, 12));
  BpeMerges::Scratch scratch;
  std::vector<TokenId> out = {7};
  merges.Apply({1, 2, 1}, &scratch, &out);
  merges.Apply({2}, &scratch, &out);
  EXPECT_THAT(out, ElementsAre(7, 12, 1, 2));
}

// A reference implementation on strings: the rules in order of rank, and the id
// of each string.
struct ReferenceModel {
  std::vector<std::pair<std::string, std::string>> rules;
  std::map<std::string, TokenId> ids;

  // After each merge, searches all positions again for the applicable rule of
  // lowest rank and its leftmost position.
  std::vector<TokenId> Encode(const std::string& word) const {
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    while (MergeOnce(&parts)) continue;
    std::vector<TokenId> out;
    for (const std::string& part : parts) out.push_back(ids.at(part));
    return out;
  }

  bool MergeOnce(std::vector<std::string>* parts) const {
    for (const auto& [left, right] : rules) {
      for (size_t i = 0; i + 1 < parts->size(); ++i) {
        if ((*parts)[i] != left || (*parts)[i + 1] != right) continue;
        (*parts)[i] += right;
        parts->erase(parts->begin() + static_cast<int64_t>(i) + 1);
        return true;
      }
    }
    return false;
  }
};

// Returns random rules over a, b, c. Each one joins two strings that earlier
// rules produce. The rules are in that order, as training finds them, or
// shuffled.
ReferenceModel RandomModel(std::mt19937& random, bool shuffled) {
  ReferenceModel model;
  std::vector<std::string> known = {"a", "b", "c"};
  for (int i = 0; i < 25; ++i) {
    const std::string left = known[random() % known.size()];
    const std::string right = known[random() % known.size()];
    const auto rule = std::make_pair(left, right);
    if (std::count(model.rules.begin(), model.rules.end(), rule) != 0) continue;
    model.rules.push_back(rule);
    known.push_back(left + right);
  }
  for (const std::string& text : known) {
    model.ids.emplace(text, static_cast<TokenId>(model.ids.size()));
  }
  if (shuffled) std::shuffle(model.rules.begin(), model.rules.end(), random);
  return model;
}

TEST(BpeMergesTest, MatchesReferenceOnAllShortAndSomeLongWords) {
  std::mt19937 random(8);
  std::vector<std::string> words = {""};
  for (size_t i = 0; i < words.size() && words[i].size() < 7; ++i) {
    for (const char c : {'a', 'b', 'c'}) words.push_back(words[i] + c);
  }
  for (int i = 0; i < 30; ++i) {
    std::string word(60, 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % 3);
    words.push_back(word);
  }
  for (int round = 0; round < 20; ++round) {
    const ReferenceModel model = RandomModel(random, round % 2 == 1);
    BpeMerges merges;
    for (const auto& [left, right] : model.rules) {
      ASSERT_TRUE(merges.Add(model.ids.at(left), model.ids.at(right),
                             model.ids.at(left + right)));
    }
    for (const std::string& word : words) {
      std::vector<TokenId> symbols;
      for (const char c : word) symbols.push_back(model.ids.at({c}));
      ASSERT_EQ(Apply(merges, symbols), model.Encode(word)) << word;
    }
  }
}

// Quadratic time in the length would exceed the test's time limit.
TEST(BpeMergesTest, MillionSymbolWordIsMergedInTime) {
  BpeMerges merges;
  for (TokenId id = 0; id < 10; ++id) ASSERT_TRUE(merges.Add(id, id, id + 1));
  const std::vector<TokenId> word((1 << 20) + 3, 0);
  const std::vector<TokenId> out = Apply(merges, word);
  ASSERT_EQ(out.size(), 1024u + 2);
  EXPECT_TRUE(std::all_of(out.begin(), out.begin() + 1024,
                          [](TokenId id) { return id == 10; }));
  EXPECT_EQ(out[1024], 1);
  EXPECT_EQ(out[1025], 0);
}

}  // namespace
}  // namespace rwkvd
