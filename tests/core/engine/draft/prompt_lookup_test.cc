// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/prompt_lookup.h"

#include <cstdint>
#include <random>
#include <vector>

#include "core/engine/draft/forced_text.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using TokenList = std::vector<int32_t>;

// What `source` guesses to follow `tokens`.
TokenList GuessAfter(DraftSource& source, const TokenList& tokens,
                     int64_t max) {
  TokenList guess;
  source.Guess(tokens, max, &guess);
  return guess;
}

int GradeAfter(DraftSource& source, const TokenList& tokens) {
  TokenList guess;
  return source.Guess(tokens, 1, &guess).grade;
}

TokenList Concatenated(TokenList a, const TokenList& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(PromptLookupTest, GuessIsWhatFollowedTheLastTwoTokensBefore) {
  PromptLookup lookup(100);
  EXPECT_EQ(GuessAfter(lookup, {1, 2, 3, 4, 5, 1, 2}, 3), (TokenList{3, 4, 5}));
}

TEST(PromptLookupTest, OneEqualTokenGivesNoGuess) {
  PromptLookup lookup(100);
  EXPECT_EQ(GuessAfter(lookup, {1, 2, 3, 4, 5, 9, 2}, 3), TokenList());
  PromptLookup other(100);
  EXPECT_EQ(GuessAfter(other, {1}, 3), TokenList());
}

TEST(PromptLookupTest, LongerMatchGoesBeforeALaterOne) {
  PromptLookup lookup(100);
  // After 1 2 3 4 5 comes 6, after another 4 5 comes 7.
  EXPECT_EQ(GuessAfter(lookup, {1, 2, 3, 4, 5, 6, 4, 5, 7, 1, 2, 3, 4, 5}, 1),
            TokenList{6});
}

TEST(PromptLookupTest, LatestOfEqualMatchesIsGuessed) {
  PromptLookup lookup(100);
  EXPECT_EQ(GuessAfter(lookup, {1, 2, 3, 1, 2, 4, 1, 2}, 1), TokenList{4});
}

TEST(PromptLookupTest, GuessBeyondTheEndRepeatsItself) {
  PromptLookup lookup(100);
  EXPECT_EQ(GuessAfter(lookup, {1, 2, 3, 1, 2, 3, 1}, 7),
            (TokenList{2, 3, 1, 2, 3, 1, 2}));
}

TEST(PromptLookupTest, MatchThatGoesOnIsFollowed) {
  const TokenList text = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  TokenList tokens = Concatenated(text, {50, 1, 2});
  PromptLookup lookup(100);
  EXPECT_EQ(GuessAfter(lookup, tokens, 1), TokenList{3});
  for (size_t i = 2; i + 1 < text.size(); ++i) {
    tokens.push_back(text[i]);
    EXPECT_EQ(GuessAfter(lookup, tokens, 1), TokenList{text[i + 1]});
  }
  // It ends with a token that differs.
  tokens.push_back(51);
  EXPECT_EQ(GuessAfter(lookup, tokens, 1), TokenList());
}

TEST(PromptLookupTest, GradeGrowsWithTheMatch) {
  TokenList text;
  for (int32_t i = 0; i < 30; ++i) text.push_back(i);
  TokenList tokens = Concatenated(text, {50, 0, 1});
  PromptLookup lookup(100);
  std::vector<int> grades;
  for (size_t i = 2; i < 22; ++i) {
    grades.push_back(GradeAfter(lookup, tokens));
    tokens.push_back(text[i]);
  }
  // Matches of 2 to 21 tokens.
  const std::vector<int> expected = {0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 2, 2, 2, 3, 3, 3, 3, 3, 3};
  EXPECT_EQ(grades, expected);
}

TEST(PromptLookupTest, SeveralTokensPerCallGiveTheSameGuesses) {
  std::mt19937 random(3);
  PromptLookup often(3000);
  TokenList tokens;
  for (int i = 0; i < 3000; ++i) {
    tokens.push_back(static_cast<int32_t>(random() % 4));
    const TokenList guess = GuessAfter(often, tokens, 4);
    if (i % 100 != 99) continue;
    PromptLookup once(3000);
    const TokenList other = GuessAfter(once, tokens, 4);
    // The longest match may be another one, but both know the last two tokens.
    EXPECT_EQ(guess.size(), 4u);
    EXPECT_EQ(other.size(), 4u);
  }
}

TEST(PromptLookupTest, GuessIsAlwaysACopyThatFollowsAMatch) {
  std::mt19937 random(4);
  PromptLookup lookup(500);
  TokenList tokens;
  for (int i = 0; i < 500; ++i) {
    tokens.push_back(static_cast<int32_t>(random() % 6));
    const TokenList guess = GuessAfter(lookup, tokens, 1);
    if (guess.empty()) continue;
    bool is_copy = false;
    for (size_t at = 2; at < tokens.size(); ++at) {
      is_copy |= tokens[at] == guess[0] &&
                 tokens[at - 1] == tokens[tokens.size() - 1] &&
                 tokens[at - 2] == tokens[tokens.size() - 2];
    }
    EXPECT_TRUE(is_copy) << "after " << tokens.size() << " tokens";
  }
}

TEST(PromptLookupTest, LongTextKeepsItsLatestPositions) {
  TokenList tokens;
  for (int32_t i = 0; i < 3 * PromptLookup::kMaxEntries; ++i) {
    tokens.push_back(i);
  }
  const int32_t last = tokens.back();
  tokens.insert(tokens.end(), {-1, last - 2, last - 1});
  PromptLookup lookup(1 << 20);
  EXPECT_EQ(GuessAfter(lookup, tokens, 1), TokenList{last});
}

TEST(ForcedTextTest, GuessIsTheRestOfTheForcedTokens) {
  const TokenList forced = {5, 6, 7, 8};
  ForcedText text(forced, 2);
  EXPECT_EQ(GuessAfter(text, {1, 2, 5}, 9), (TokenList{6, 7, 8}));
  EXPECT_EQ(GuessAfter(text, {1, 2, 5, 6}, 1), TokenList{7});
  EXPECT_EQ(GuessAfter(text, {1, 2, 5, 6, 7, 8}, 9), TokenList());
  EXPECT_EQ(GuessAfter(text, {1, 2, 5, 6, 7, 8, 9}, 9), TokenList());
}

}  // namespace
}  // namespace rwkvd
