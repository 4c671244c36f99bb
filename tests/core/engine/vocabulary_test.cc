// SPDX-License-Identifier: Apache-2.0
#include "core/engine/vocabulary.h"

#include "core/text/null_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_tokenizer.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

TEST(VocabularyTest, HasTokensOfBothTokenizerAndModel) {
  const FakeTokenizer tokenizer({"", "a", "b"}, /*end_of_text=*/0);
  EXPECT_EQ(VocabularyOf(tokenizer, 8).num_ids, 3);
  EXPECT_EQ(VocabularyOf(tokenizer, 2).num_ids, 2);
  EXPECT_EQ(VocabularyOf(tokenizer, 8).end_of_text, 0);
  const FakeTokenizer endless({"a"}, std::nullopt);
  EXPECT_EQ(VocabularyOf(endless, 8).end_of_text, std::nullopt);
}

TEST(VocabularyTest, ListsIdsWithoutBytesAsUnused) {
  const FakeTokenizer gaps({"", "a", "", "b", "", "c"}, /*end_of_text=*/0);
  ASSERT_NE(VocabularyOf(gaps, 99).unused_ids, nullptr);
  EXPECT_THAT(*VocabularyOf(gaps, 99).unused_ids, ElementsAre(2, 4));
  EXPECT_THAT(*VocabularyOf(gaps, 4).unused_ids, ElementsAre(2));
  EXPECT_EQ(VocabularyOf(gaps, 2).unused_ids, nullptr);
}

TEST(VocabularyTest, WithoutTokenizerAllIdsAreUsed) {
  EXPECT_EQ(VocabularyOf(NullTokenizer(8), 8).num_ids, 8);
  EXPECT_EQ(VocabularyOf(NullTokenizer(8), 8).unused_ids, nullptr);
}

TEST(VocabularyTest, ListsBlanksAndDigits) {
  const FakeTokenizer tokenizer(
      {"", " ", "  ", "\t", "\n", "7", "12", "21", " a", " \t0"}, 0);
  EXPECT_THAT(VocabularyOf(tokenizer, 99).blanks_and_digits,
              ElementsAre(1, 3, 5, 6, 9));
}

}  // namespace
}  // namespace rwkvd
