// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_alphabet.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ByteAlphabetTest, KnownBytesMapToKnownCharacters) {
  const struct {
    int byte;
    const char* character;
  } cases[] = {{0x00, "\u0100"}, {'\t', "\u0109"}, {'\n', "\u010a"},
               {' ', "\u0120"},  {'!', "!"},       {'~', "~"},
               {0x7F, "\u0121"}, {0x80, "\u0122"}, {0xA0, "\u0142"},
               {0xA1, "\u00a1"}, {0xAC, "\u00ac"}, {0xAD, "\u0143"},
               {0xAE, "\u00ae"}, {0xFF, "\u00ff"}};
  for (const auto& c : cases) {
    EXPECT_EQ(AlphabetCharacter(static_cast<uint8_t>(c.byte)), c.character);
  }
}

TEST(ByteAlphabetTest, AllBytesRoundTripAsDistinctCharacters) {
  std::set<std::string> characters;
  std::string text;
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    const std::string character = AlphabetCharacter(static_cast<uint8_t>(i));
    characters.insert(character);
    text += character;
    bytes.push_back(static_cast<char>(i));
  }
  EXPECT_EQ(characters.size(), 256u);
  EXPECT_EQ(BytesOfAlphabetText(text), bytes);
  EXPECT_EQ(BytesOfAlphabetText(""), "");
}

TEST(ByteAlphabetTest, CharactersOutsideAlphabetAreRefused) {
  for (const std::string& text :
       {std::string(" "), std::string("a b"), std::string("\n"),
        std::string(1, '\0'), std::string("\u007f"), std::string("\u0080"),
        std::string("\u00a0"), std::string("\u00ad"), std::string("\u0144"),
        std::string("\u07ff"), std::string("\u4e2d"), std::string("\U0001f600"),
        std::string("\xff"), std::string("\xc4"), std::string("a\xc4")}) {
    EXPECT_EQ(BytesOfAlphabetText(text), std::nullopt)
        << ::testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace rwkvd
