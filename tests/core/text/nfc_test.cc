// SPDX-License-Identifier: Apache-2.0
#include "core/text/nfc.h"

#include <utf8proc.h>

#include <cstdlib>
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

}  // namespace
}  // namespace rwkvd
