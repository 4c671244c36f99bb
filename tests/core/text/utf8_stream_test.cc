// SPDX-License-Identifier: Apache-2.0
#include "core/text/utf8_stream.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";

// Returns the bytes at every boundary in the table of well-formed sequences.
const std::string& BoundaryBytes() {
  static const std::string& bytes = *new std::string(
      "\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1"
      "\xf4\xf5\xff");
  return bytes;
}

// A reference decoder. It knows all characters made of boundary bytes and their
// proper prefixes, from encoding every code point as table 3-6 of the standard
// defines.
struct Reference {
  std::set<std::string> characters;
  std::set<std::string> prefixes;

  Reference() {
    for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      const std::string text = Write(c);
      if (text.find_first_not_of(BoundaryBytes()) != text.npos) continue;
      characters.insert(text);
      for (size_t n = 1; n < text.size(); ++n) {
        prefixes.insert(text.substr(0, n));
      }
    }
  }

  static std::string Write(uint32_t c) {
    const auto byte = [](uint32_t value) { return static_cast<char>(value); };
    if (c < 0x80) return {byte(c)};
    if (c < 0x800) return {byte(0xC0 + c / 64), byte(0x80 + c % 64)};
    if (c < 0x10000) {
      return {byte(0xE0 + c / 4096), byte(0x80 + c / 64 % 64),
              byte(0x80 + c % 64)};
    }
    return {byte(0xF0 + c / 262144), byte(0x80 + c / 4096 % 64),
            byte(0x80 + c / 64 % 64), byte(0x80 + c % 64)};
  }

  // Decodes a whole string: at each position a character, or U+FFFD for the
  // longest prefix of a character or for a single byte.
  std::string Decode(const std::string& bytes) const {
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      size_t length = 1;
      bool is_character = false;
      for (size_t n = 1; n <= 4 && at + n <= bytes.size(); ++n) {
        const std::string part = bytes.substr(at, n);
        if (characters.count(part)) is_character = true;
        if (is_character || prefixes.count(part)) length = n;
        if (is_character) break;
      }
      text += is_character ? bytes.substr(at, length) : kReplacement;
      at += length;
    }
    return text;
  }
};

const Reference& TheReference() {
  static const Reference& reference = *new Reference();
  return reference;
}

// Decodes `bytes` in pieces that end before byte i if bit i - 1 of `cuts` is
// set.
std::string Stream(const std::string& bytes, unsigned cuts) {
  Utf8Stream stream;
  std::string text;
  size_t begin = 0;
  for (size_t i = 1; i <= bytes.size(); ++i) {
    if (i < bytes.size() && !(cuts >> (i - 1) & 1)) continue;
    text += stream.Append(bytes.substr(begin, i - begin));
    begin = i;
  }
  return text + stream.Finish();
}

void ExpectReferenceAgreesHoweverCut(const std::string& bytes) {
  const std::string expected = TheReference().Decode(bytes);
  const unsigned num_cuts = bytes.size() < 2 ? 1 : 1u << (bytes.size() - 1);
  for (unsigned cuts = 0; cuts < num_cuts; ++cuts) {
    ASSERT_EQ(Stream(bytes, cuts), expected)
        << ::testing::PrintToString(bytes) << " cut at " << cuts;
  }
}

TEST(Utf8StreamTest, MatchesReferenceOnShortStringsInAnySplit) {
  const std::string& alphabet = BoundaryBytes();
  std::vector<std::string> strings = {""};
  for (int length = 1; length <= 4; ++length) {
    std::vector<std::string> longer;
    for (const std::string& shorter : strings) {
      for (const char c : alphabet) longer.push_back(shorter + c);
    }
    for (const std::string& bytes : longer) {
      ExpectReferenceAgreesHoweverCut(bytes);
      if (HasFatalFailure()) return;
    }
    strings = std::move(longer);
  }
}

TEST(Utf8StreamTest, MatchesReferenceOnLongStringsInAnySplit) {
  uint32_t random = 1;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes;
    for (int n = 0; n < 12; ++n) {
      random = random * 1664525 + 1013904223;
      bytes += BoundaryBytes()[(random >> 16) % BoundaryBytes().size()];
    }
    const std::string expected = TheReference().Decode(bytes);
    for (int cut = 0; cut < 16; ++cut) {
      random = random * 1664525 + 1013904223;
      ASSERT_EQ(Stream(bytes, random >> 16), expected)
          << ::testing::PrintToString(bytes);
    }
  }
}

// Table 3-8 in section 3.9 of the standard.
TEST(Utf8StreamTest, MatchesExamplesOfUnicodeStandard) {
  const std::string r = kReplacement;
  EXPECT_EQ(Stream("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", 0),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(Stream("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", 0),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(Stream("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", 0),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(Stream("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 0),
            r + r + r + r + "A");
}

TEST(Utf8StreamTest, IncompleteCharacterIsBuffered) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Append("a\xf0"), "a");
  EXPECT_EQ(stream.Append("\x9f"), "");
  EXPECT_EQ(stream.Append(""), "");
  EXPECT_EQ(stream.Append("\x98"), "");
  EXPECT_EQ(stream.Append("\x80z"), "\U0001f600z");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8StreamTest, InvalidByteIsReplacedAtOnce) {
  for (int first = 0x80; first <= 0xFF; ++first) {
    if (first >= 0xC2 && first <= 0xF4) continue;
    Utf8Stream stream;
    EXPECT_EQ(stream.Append(std::string(1, static_cast<char>(first))),
              kReplacement)
        << first;
  }
  Utf8Stream stream;
  EXPECT_EQ(stream.Append("\xe2\x82"), "");
  EXPECT_EQ(stream.Append("!"), std::string(kReplacement) + "!");
}

TEST(Utf8StreamTest, ReplacementCharacterInInputPassesAtOnce) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Append(kReplacement), kReplacement);
}

TEST(Utf8StreamTest, IncompleteCharacterAtEndIsReplacedOnce) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Append("\xf0\x9f\x98"), "");
  EXPECT_EQ(stream.Finish(), kReplacement);
  EXPECT_EQ(stream.Finish(), "");
  EXPECT_EQ(stream.Append("new"), "new");
}

}  // namespace
}  // namespace rwkvd
