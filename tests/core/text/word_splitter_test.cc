// SPDX-License-Identifier: Apache-2.0
#include "core/text/word_splitter.h"

#include <cctype>
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Split(const std::string& text) {
  static const WordSplitter& splitter = *new WordSplitter();
  std::vector<std::string> words;
  EXPECT_TRUE(splitter.Split(text, [&words](absl::string_view word) {
    words.emplace_back(word);
    return true;
  }));
  return words;
}

TEST(WordSplitterTest, StopsWhenTheCallbackReturnsFalse) {
  std::vector<std::string> words;
  EXPECT_FALSE(WordSplitter().Split("a b c", [&words](absl::string_view word) {
    words.emplace_back(word);
    return words.size() < 2;
  }));
  EXPECT_THAT(words, ElementsAre("a", " b"));
}

TEST(WordSplitterTest, SplitsSentence) {
  EXPECT_THAT(Split("I'm sure they're 25,  aren't they?\n\n  Yes"),
              ElementsAre("I", "'m", " sure", " they", "'re", " 25", ",", " ",
                          " aren", "'t", " they", "?", "\n\n ", " Yes"));
  EXPECT_THAT(Split(""), IsEmpty());
}

TEST(WordSplitterTest, TrailingSpacesAreOneWord) {
  EXPECT_THAT(Split("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(Split("   "), ElementsAre("   "));
  EXPECT_THAT(Split("a \n b"), ElementsAre("a", " \n", " b"));
  EXPECT_THAT(Split("a\n\nb"), ElementsAre("a", "\n", "\n", "b"));
}

TEST(WordSplitterTest, LettersAndNumbersFollowUnicode) {
  EXPECT_THAT(
      Split("\u00fcber\u4e2d\u6587 \u0661\u0662 \u216b\u00bd"),
      ElementsAre("\u00fcber\u4e2d\u6587", " \u0661\u0662", " \u216b\u00bd"));
  // A combining mark and an emoji are neither letters nor numbers.
  EXPECT_THAT(Split("x\u0301y\U0001f600\U0001f601 z"),
              ElementsAre("x", "\u0301", "y", "\U0001f600\U0001f601", " z"));
}

TEST(WordSplitterTest, LowerCaseContractionsAreWords) {
  EXPECT_THAT(
      Split("it's it'S don'tx 'll"),
      ElementsAre("it", "'s", " it", "'", "S", " don", "'t", "x", " '", "ll"));
}

TEST(WordSplitterTest, WhitespaceFollowsUnicode) {
  // The last space of a run before other text is part of the next word if it is
  // U+0020, and a word of its own otherwise.
  for (const std::string space :
       {"\t", "\n", "\v", "\f", "\r", "\u0085", "\u00a0", "\u1680", "\u2000",
        "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"}) {
    EXPECT_THAT(Split(" " + space + "x"), ElementsAre(" ", space, "x"));
    EXPECT_THAT(Split(space + " x"), ElementsAre(space, " x"));
  }
  // These are not spaces, so a space before them is part of their word.
  for (const std::string other :
       {"\u180e", "\u200b", "\u2060", "\ufeff", "\u001c", "\u0084"}) {
    EXPECT_THAT(Split(" " + other + "x"), ElementsAre(" " + other, "x"));
  }
}

// A reference implementation of the pattern for ASCII text.
size_t ReferenceWordLength(const std::string& text, size_t at) {
  const auto is = [&](size_t i, const std::function<bool(int)>& property) {
    return i < text.size() && property(text[i]);
  };
  const auto space = [](int c) { return std::isspace(c) != 0; };
  const auto letter = [](int c) { return std::isalpha(c) != 0; };
  const auto digit = [](int c) { return std::isdigit(c) != 0; };
  const auto other = [&](int c) {
    return !space(c) && !letter(c) && !digit(c);
  };
  for (const std::string ending :
       {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.compare(at, ending.size(), ending) == 0) return ending.size();
  }
  const size_t start = text[at] == ' ' ? at + 1 : at;
  for (const std::function<bool(int)>& property :
       {std::function<bool(int)>(letter), std::function<bool(int)>(digit),
        std::function<bool(int)>(other)}) {
    size_t end = start;
    while (is(end, property)) ++end;
    if (end > start) return end - at;
  }
  size_t end = at;
  while (is(end, space)) ++end;
  const bool gives_one_back = end < text.size() && end > at + 1;
  return end - at - gives_one_back;
}

TEST(WordSplitterTest, MatchesReferenceOnAllShortAsciiStrings) {
  const std::string alphabet = "at1 \n'!";
  std::vector<std::string> strings = {""};
  for (int length = 1; length <= 5; ++length) {
    std::vector<std::string> longer;
    for (const std::string& shorter : strings) {
      for (const char c : alphabet) longer.push_back(shorter + c);
    }
    for (const std::string& text : longer) {
      std::vector<std::string> expected;
      for (size_t at = 0; at < text.size();) {
        expected.push_back(text.substr(at, ReferenceWordLength(text, at)));
        at += expected.back().size();
      }
      ASSERT_EQ(Split(text), expected) << testing::PrintToString(text);
    }
    strings = std::move(longer);
  }
}

TEST(WordSplitterTest, VeryLongRunIsOneWord) {
  constexpr int kMany = 1 << 20;
  for (const char c : {'a', '7', '!', ' ', '\n'}) {
    const std::string run(kMany, c);
    EXPECT_THAT(Split(run), ElementsAre(run)) << c;
  }
  EXPECT_EQ(Split(std::string(kMany, ' ') + "x").size(), 2u);
  EXPECT_EQ(Split(std::string(kMany, '\n') + "x").size(), 3u);
}

TEST(WordSplitterTest, ManyShortWordsTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += "a\n";
  EXPECT_EQ(Split(text).size(), text.size());
}

}  // namespace
}  // namespace rwkvd
