// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_merges.h"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/text/bpe_word_encoder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<TokenId> Ids(const std::vector<BpeMerges::Piece>& pieces) {
  std::vector<TokenId> ids;
  for (const BpeMerges::Piece& piece : pieces) ids.push_back(piece.id);
  return ids;
}

std::vector<TokenId> Apply(const BpeMerges& merges,
                           const std::vector<TokenId>& word) {
  BpeMerges::Scratch scratch;
  std::vector<BpeMerges::Piece> pieces;
  merges.Apply(word, &scratch, &pieces);
  return Ids(pieces);
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
  std::vector<BpeMerges::Piece> out = {{7, 9}};
  merges.Apply({1, 2, 1}, &scratch, &out);
  merges.Apply({2}, &scratch, &out);
  EXPECT_THAT(Ids(out), ElementsAre(7, 12, 1, 2));
  EXPECT_EQ(out[0].position, 9u);
  EXPECT_EQ(out[1].position, 0u);
  EXPECT_EQ(out[2].position, 2u);
  EXPECT_EQ(out[3].position, 0u);
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

std::vector<TokenId> EncodeInWindows(const ReferenceModel& model,
                                     const BpeMerges& merges,
                                     const std::string& word,
                                     size_t window_bytes) {
  std::array<TokenId, 256> byte_ids;
  byte_ids.fill(-1);
  for (const char c : {'a', 'b', 'c'}) {
    byte_ids[static_cast<uint8_t>(c)] = model.ids.at({c});
  }
  BpeWordEncoder encoder(&merges, &byte_ids, window_bytes);
  std::vector<TokenId> ids;
  EXPECT_TRUE(encoder.Append(word, word.size(), &ids));
  return ids;
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
      const std::vector<TokenId> expected = model.Encode(word);
      ASSERT_EQ(Apply(merges, symbols), expected) << word;
      for (const size_t window_bytes : {2, 3, 5, 8, 16}) {
        ASSERT_EQ(EncodeInWindows(model, merges, word, window_bytes), expected)
            << word << " in windows of " << window_bytes;
      }
    }
  }
}

TEST(BpeWordEncoderTest, StopsAtOneMoreThanTheLimit) {
  BpeMerges merges;
  ASSERT_TRUE(merges.Add('a', 'a', 256));
  std::array<TokenId, 256> byte_ids;
  for (int i = 0; i < 256; ++i) byte_ids[i] = i;
  BpeWordEncoder encoder(&merges, &byte_ids, 64);
  for (const size_t limit : {0, 1, 10, 100, 490, 499, 500}) {
    std::vector<TokenId> ids;
    EXPECT_TRUE(encoder.Append(std::string(1000, 'a'), limit, &ids));
    EXPECT_EQ(ids.size(), std::min<size_t>(limit + 1, 500));
  }
}

// The rules form a chain from right to left: whether "ab" is merged depends on
// "bc", which depends on "cd", and so on to the end of the alphabet.
TEST(BpeWordEncoderTest, WordWhoseMergesDependOnItsEndNeedsLargerWindows) {
  BpeMerges merges;
  std::array<TokenId, 256> byte_ids;
  for (int i = 0; i < 256; ++i) byte_ids[i] = i;
  for (int i = 254; i >= 0; --i) ASSERT_TRUE(merges.Add(i, i + 1, 256 + i));
  for (const size_t length : {254, 255, 256}) {
    std::string word;
    for (size_t i = 0; i < length; ++i) word += static_cast<char>(i);
    std::vector<TokenId> symbols;
    for (size_t i = 0; i < length; ++i) symbols.push_back(static_cast<int>(i));
    BpeWordEncoder encoder(&merges, &byte_ids, 16);
    std::vector<TokenId> ids;
    EXPECT_TRUE(encoder.Append(word, length, &ids));
    EXPECT_EQ(ids, Apply(merges, symbols));
    // All windows are too small.
    BpeWordEncoder limited(&merges, &byte_ids,
                           BpeWordEncoder::kMaxWindowBytes + 1);
    EXPECT_FALSE(limited.Append(word, length, &ids));
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
