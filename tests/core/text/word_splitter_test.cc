// SPDX-License-Identifier: Apache-2.0
#include "core/text/word_splitter.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
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

// A reference implementation of the pattern, for a text given as its
// characters. Letters, numbers and spaces beyond ASCII are those listed.
using Characters = std::vector<std::string>;

bool IsSpace(const std::string& c) {
  return std::isspace(static_cast<unsigned char>(c[0])) != 0 || c == "\u3000";
}
bool IsLetter(const std::string& c) {
  return std::isalpha(static_cast<unsigned char>(c[0])) != 0 || c == "\u00e9";
}
bool IsNumber(const std::string& c) {
  return std::isdigit(static_cast<unsigned char>(c[0])) != 0 || c == "\u00bd";
}
bool IsOther(const std::string& c) {
  return !IsSpace(c) && !IsLetter(c) && !IsNumber(c);
}

// The number of characters from `at` on that have the property.
size_t RunLength(const Characters& text, size_t at,
                 bool (*has_property)(const std::string&)) {
  size_t end = at;
  while (end < text.size() && has_property(text[end])) ++end;
  return end - at;
}

std::string Join(const Characters& text, size_t begin, size_t end) {
  return absl::StrJoin(text.begin() + static_cast<int64_t>(begin),
                       text.begin() + static_cast<int64_t>(end), "");
}

size_t ReferenceWordLength(const Characters& text, size_t at) {
  for (const size_t length : {2, 3}) {
    const std::string next = Join(text, at, std::min(at + length, text.size()));
    for (const char* ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
      if (next == ending) return length;
    }
  }
  const size_t space = text[at] == " " ? 1 : 0;
  for (const auto has_property : {IsLetter, IsNumber, IsOther}) {
    const size_t length = RunLength(text, at + space, has_property);
    if (length > 0) return space + length;
  }
  const size_t length = RunLength(text, at, IsSpace);
  const bool gives_one_back = at + length < text.size() && length > 1;
  return length - gives_one_back;
}

void ExpectMatchesReference(const Characters& text) {
  std::vector<std::string> expected;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at + ReferenceWordLength(text, at);
    expected.push_back(Join(text, at, end));
    at = end;
  }
  const std::string joined = Join(text, 0, text.size());
  ASSERT_EQ(Split(joined), expected) << ::testing::PrintToString(joined);
}

TEST(WordSplitterTest, MatchesReferenceOnAllShortStrings) {
  const Characters alphabet = {"a", "t",      "1",      " ",      "\n",    "'",
                               "!", "\u00e9", "\u00bd", "\u3000", "\u0301"};
  std::vector<Characters> texts = {{}};
  for (int length = 1; length <= 4; ++length) {
    std::vector<Characters> longer;
    for (const Characters& shorter : texts) {
      for (const std::string& c : alphabet) {
        longer.push_back(shorter);
        longer.back().push_back(c);
      }
    }
    for (const Characters& text : longer) ExpectMatchesReference(text);
    texts = std::move(longer);
  }
}

TEST(WordSplitterTest, MatchesReferenceOnLongStrings) {
  const Characters few = {"a", "r", "e", " ", "\n", "'", "\u00e9", "\u3000"};
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    Characters text(static_cast<size_t>(i));
    for (std::string& c : text) {
      c = i % 2 == 0 ? few[random() % few.size()]
                     : std::string(1, static_cast<char>(random() % 128));
    }
    ExpectMatchesReference(text);
  }
}

std::string Repeated(const std::string& text, int number) {
  std::string all;
  for (int i = 0; i < number; ++i) all += text;
  return all;
}

TEST(WordSplitterTest, VeryLongRunIsOneWord) {
  constexpr int kMany = 1 << 20;
  for (const std::string c :
       {"a", "7", "!", " ", "\n", "\u00e9", "\u0661", "\u0301", "\u3000"}) {
    const std::string run = Repeated(c, kMany);
    EXPECT_THAT(Split(run), ElementsAre(run)) << c;
  }
  EXPECT_EQ(Split(Repeated(" ", kMany) + "x").size(), 2u);
  EXPECT_EQ(Split(Repeated("\n", kMany) + "x").size(), 3u);
  EXPECT_EQ(Split(Repeated("\u3000", kMany) + "x").size(), 3u);
}

TEST(WordSplitterTest, ManyShortWordsTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += "a\n";
  EXPECT_EQ(Split(text).size(), text.size());
}

}  // namespace
}  // namespace rwkvd
