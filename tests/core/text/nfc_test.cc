// SPDX-License-Identifier: Apache-2.0
#include "core/text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>

#include "core/base/utf8.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// Examples from annex 15 of the standard and NormalizationTest.txt.
TEST(NfcTest, NormalizesKnownExamples) {
  const struct {
    std::string text;
    std::string expected;
  } cases[] = {
      {"", ""},
      {std::string("plain\0ascii", 11), std::string("plain\0ascii", 11)},
      {"\u00e9", "\u00e9"},
      {"e\u0301", "\u00e9"},
      {"\u212b", "\u00c5"},  // Angstrom sign
      {"A\u030a", "\u00c5"},
      {"\u1e9b\u0323", "\u1e9b\u0323"},
      {"\u1e0a\u0323", "\u1e0c\u0307"},  // marks are reordered
      {"D\u0307\u0323", "\u1e0c\u0307"},
      {"a\u0315\u0300\u05ae\u0300", "\u00e0\u05ae\u0300\u0315"},
      {"\u0958", "\u0915\u093c"},        // excluded from composition
      {"\u1100\u1161\u11a8", "\uac01"},  // Hangul
      {"\uac00\u11a8", "\uac01"},
      {"\u2126", "\u03a9"},  // Ohm sign
      {"\U0001d15e", "\U0001d157\U0001d165"},
      {"\ufb01",
       "\ufb01"},  // a ligature, which only compatibility forms change
      {"\U0002f800", "\u4e3d"},  // a CJK singleton
      {"\u0301", "\u0301"},      // a mark without a base
      {"\u0344", "\u0308\u0301"},
      {"x\u0338>\u0338", "x\u0338\u226f"}};
  for (const auto& c : cases) {
    EXPECT_EQ(Nfc(c.text), c.expected) << c.text;
  }
}

std::string LibraryNfc(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &result,
      static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  EXPECT_GE(length, 0);
  std::string out(reinterpret_cast<char*>(result), length < 0 ? 0 : length);
  std::free(result);
  return out;
}

TEST(NfcTest, MatchesLibraryOnEveryCodePoint) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text = "a";
    AppendUtf8(c, &text);
    text += "\u0301";
    ASSERT_EQ(Nfc(text), LibraryNfc(text)) << c;
  }
}

TEST(NfcTest, MatchesLibraryOnRandomTextWithMarks) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) {
      const uint32_t kind = random() % 4;
      const uint32_t c = kind == 0   ? 0x41 + random() % 0x100
                         : kind == 1 ? 0x300 + random() % 0x70
                         : kind == 2 ? 0x1100 + random() % 0x100
                                     : 0x900 + random() % 0x600;
      AppendUtf8(c, &text);
    }
    ASSERT_EQ(Nfc(text), LibraryNfc(text)) << text;
    ASSERT_EQ(Nfc(Nfc(text)), Nfc(text)) << text;
  }
}

// Quadratic sorting would take 10^10 steps.
TEST(NfcTest, LongRunOfUnorderedMarksIsSortedInTime) {
  constexpr int kMany = 200000;
  std::string above;  // class 230
  std::string below;  // class 220
  for (int i = 0; i < kMany; ++i) {
    above += "\u0300";
    below += "\u0316";
  }
  EXPECT_EQ(Nfc("x" + above + below), "x" + below + above);
}

// Long texts are normalized in segments, which end before the characters below.
TEST(NfcTest, LongTextsOfAllScriptsMatchLibrary) {
  const std::string pieces[] = {"a",          "e\u0301",    "\u0301",
                                "\u0323",     "\u0430",     "\u0438\u0306",
                                "\u4e2d",     "\u1100",     "\u1161",
                                "\u11a8",     "\uac00",     "\uc4f0",
                                "\u3046",     "\u3099",     "\u0915",
                                "\u093c",     "\u09c7",     "\u09be",
                                "\u212b",     "\u0344",     "\u0f71\u0f72",
                                "\U0001d15e", "\U0002f800", " "};
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) {
    std::string text;
    while (text.size() < 20'000) text += pieces[random() % std::size(pieces)];
    ASSERT_EQ(Nfc(text), LibraryNfc(text));
  }
}

// Those that begin a segment: see BeginsSegment.
bool BeginsSegment(int32_t c) {
  return c < 0x80 || (c >= 0x400 && c <= 0x47F) ||
         (c >= 0x4000 && c <= 0x9FFF) || (c >= 0xB000 && c <= 0xCFFF);
}

TEST(NfcTest, CharactersThatBeginSegmentsNeverCombineWithThoseBefore) {
  for (int32_t c = 0; c <= 0x10FFFF; ++c) {
    if (BeginsSegment(c)) {
      ASSERT_EQ(utf8proc_get_property(c)->combining_class, 0) << c;
    }
    int32_t parts[32];
    int boundary_class = 0;
    const auto num_parts = utf8proc_decompose_char(
        c, parts, 32, static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE),
        &boundary_class);
    for (int i = 1; i < num_parts; ++i) {
      ASSERT_FALSE(BeginsSegment(parts[i])) << c;
    }
    if (BeginsSegment(c) && num_parts > 0) {
      ASSERT_EQ(utf8proc_get_property(parts[0])->combining_class, 0) << c;
    }
  }
}

TEST(NfcTest, LengthChangesWithinTheStatedBounds) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const std::string composed = Nfc(text);
    ASSERT_LE(composed.size(), kMaxNfcExpansion * text.size()) << c;
    utf8proc_uint8_t* decomposed =
        utf8proc_NFD(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
    const size_t longest = std::max(
        text.size(), std::strlen(reinterpret_cast<const char*>(decomposed)));
    std::free(decomposed);
    ASSERT_LE(longest, kMaxNfcShrinkage * composed.size()) << c;
  }
}

TEST(NfcTest, MemoryBoundGrowsWithTheLongestSegment) {
  const std::string marks(100'000, '\xcc');
  const auto size = static_cast<int64_t>(marks.size());
  EXPECT_EQ(MaxNfcMemory(marks), kMaxNfcMemoryPerByte * size);
  EXPECT_LT(MaxNfcMemory(std::string(100'000, 'a')), 7 * size);
}

TEST(IsAsciiTest, SeesTheLastByte) {
  EXPECT_TRUE(IsAscii(""));
  EXPECT_TRUE(IsAscii(std::string(1000, '\x7f')));
  EXPECT_FALSE(IsAscii(std::string(1000, 'a') + '\x80'));
}

}  // namespace
}  // namespace rwkvd
