// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sequence_repetition.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Tokens = std::vector<int32_t>;

// Returns the tokens found, each with its length.
std::vector<std::pair<int32_t, int32_t>> Find(
    const Tokens& tokens, const SequenceRepetition& params) {
  std::vector<RepeatedSequence> found = {{77, 77}};
  FindRepeatedSequences(tokens, params, &found);
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (const auto& [next, length] : found) pairs.push_back({next, length});
  return pairs;
}

TEST(SequenceRepetitionTest, FindsTokenThatWouldRepeatSequence) {
  // 1 2 3 continued with 4; with it, the sequence has 4 tokens.
  EXPECT_THAT(Find({1, 2, 3, 4, 1, 2, 3}, {.min_length = 3}),
              ElementsAre(Pair(4, 4)));
  EXPECT_THAT(Find({1, 2, 3, 4, 1, 2, 3}, {.min_length = 4}), IsEmpty());
  EXPECT_THAT(Find({9, 2, 3, 4, 1, 2, 3}, {.min_length = 3}), IsEmpty());
  EXPECT_THAT(Find({9, 2, 3, 4, 1, 2, 3}, {.min_length = 2}),
              ElementsAre(Pair(4, 3)));
}

TEST(SequenceRepetitionTest, TokenIsFoundWithItsLongestSequence) {
  // 3 continued with 4, after 9 and after 2.
  EXPECT_THAT(Find({2, 3, 4, 9, 3, 4, 5, 2, 3}, {.min_length = 1}),
              ElementsAre(Pair(4, 3)));
  // 3 also continued with 6.
  EXPECT_THAT(Find({3, 6, 2, 3, 4, 5, 2, 3}, {.min_length = 1}),
              ElementsAre(Pair(6, 2), Pair(4, 3)));
}

TEST(SequenceRepetitionTest, SequenceMayOverlapItself) {
  EXPECT_THAT(Find({7, 7, 7, 7}, {.min_length = 2}), ElementsAre(Pair(7, 4)));
}

TEST(SequenceRepetitionTest, WildcardMatchesOneToken) {
  const Tokens tokens = {1, 8, 3, 4, 1, 2, 3};
  EXPECT_THAT(Find(tokens, {.min_length = 3}), IsEmpty());
  EXPECT_THAT(Find(tokens, {.min_length = 3, .tolerance = 1}),
              ElementsAre(Pair(4, 4)));
}

TEST(SequenceRepetitionTest, WildcardMatchesSeveralTokensUpToMaxMerge) {
  const Tokens tokens = {1, 7, 8, 3, 4, 1, 2, 3};
  EXPECT_THAT(Find(tokens, {.min_length = 3, .tolerance = 1}), IsEmpty());
  EXPECT_THAT(Find(tokens, {.min_length = 3, .tolerance = 1, .max_merge = 2}),
              ElementsAre(Pair(4, 4)));
}

TEST(SequenceRepetitionTest, WildcardIsNeitherFirstNorLast) {
  // Only 3 matches: no equal tokens precede the wildcard 2.
  EXPECT_THAT(Find({8, 3, 4, 1, 2, 3}, {.min_length = 2, .tolerance = 4}),
              IsEmpty());
  // 5 and 6 differ, and are the last tokens of both sequences.
  EXPECT_THAT(Find({1, 2, 5, 4, 1, 2, 6}, {.min_length = 2, .tolerance = 4}),
              IsEmpty());
}

TEST(SequenceRepetitionTest, TextsUpToMinLengthRepeatNothing) {
  EXPECT_THAT(Find({}, {.min_length = 1}), IsEmpty());
  EXPECT_THAT(Find({1}, {.min_length = 1}), IsEmpty());
  EXPECT_THAT(Find({1, 1}, {.min_length = 1}), ElementsAre(Pair(1, 2)));
}

TEST(SequenceRepetitionTest, PenaltyGrowsWithSequenceLength) {
  std::vector<float> logits = {1.0f, 1.0f, 1.0f};
  const std::vector<RepeatedSequence> sequences = {{0, 4}, {2, 6}, {3, 9}};
  PenalizeSequences(sequences,
                    {.flat_penalty = 0.5f, .stacking_penalty = 0.25f},
                    absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(-0.5f, 1.0f, -1.0f));
}

}  // namespace
}  // namespace rwkvd
