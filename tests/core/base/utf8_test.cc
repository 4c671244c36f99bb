// SPDX-License-Identifier: Apache-2.0
#include "core/base/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Kind = Utf8Part::Kind;

struct Case {
  std::string bytes;
  Kind kind;
  size_t length;
};

// The bounds in table 3-7 of the Unicode standard.
TEST(FirstUtf8Part, FollowsTheTableOfWellFormedSequences) {
  const Case cases[] = {{std::string(1, '\0'), Kind::kCharacter, 1},
                        {"\x7f", Kind::kCharacter, 1},
                        {"\x80", Kind::kIllFormed, 1},
                        {"\xbf", Kind::kIllFormed, 1},
                        {"\xc0\x80", Kind::kIllFormed, 1},
                        {"\xc1\xbf", Kind::kIllFormed, 1},
                        {"\xc2\x80", Kind::kCharacter, 2},
                        {"\xdf\xbf", Kind::kCharacter, 2},
                        {"\xc2\x7f", Kind::kIllFormed, 1},
                        {"\xc2\xc0", Kind::kIllFormed, 1},
                        {"\xe0\x9f\x80", Kind::kIllFormed, 1},
                        {"\xe0\xa0\x80", Kind::kCharacter, 3},
                        {"\xec\xbf\xbf", Kind::kCharacter, 3},
                        {"\xed\x9f\xbf", Kind::kCharacter, 3},
                        {"\xed\xa0\x80", Kind::kIllFormed, 1},
                        {"\xee\x80\x80", Kind::kCharacter, 3},
                        {"\xef\xbf\xbf", Kind::kCharacter, 3},
                        {"\xe1\x80\x41", Kind::kIllFormed, 2},
                        {"\xf0\x8f\x80\x80", Kind::kIllFormed, 1},
                        {"\xf0\x90\x80\x80", Kind::kCharacter, 4},
                        {"\xf3\xbf\xbf\xbf", Kind::kCharacter, 4},
                        {"\xf4\x8f\xbf\xbf", Kind::kCharacter, 4},
                        {"\xf4\x90\x80\x80", Kind::kIllFormed, 1},
                        {"\xf1\x80\x41", Kind::kIllFormed, 2},
                        {"\xf1\x80\x80\x41", Kind::kIllFormed, 3},
                        {"\xf1\x80\x80\xe1", Kind::kIllFormed, 3},
                        {"\xf5\x80\x80\x80", Kind::kIllFormed, 1},
                        {"\xff", Kind::kIllFormed, 1},
                        {"\xc2", Kind::kUnfinished, 1},
                        {"\xe0", Kind::kUnfinished, 1},
                        {"\xe0\xa0", Kind::kUnfinished, 2},
                        {"\xf4\x8f\xbf", Kind::kUnfinished, 3},
                        {"ab", Kind::kCharacter, 1}};
  for (const Case& c : cases) {
    const Utf8Part part = FirstUtf8Part(c.bytes);
    EXPECT_EQ(part.kind, c.kind) << ::testing::PrintToString(c.bytes);
    EXPECT_EQ(part.length, c.length) << ::testing::PrintToString(c.bytes);
  }
}

TEST(ValidUtf8Length, StopsAtTheFirstIllFormedByte) {
  EXPECT_EQ(ValidUtf8Length(""), 0u);
  EXPECT_EQ(ValidUtf8Length("a\xc3\xa9"), 3u);
  EXPECT_EQ(ValidUtf8Length("a\xc3\xa9\xff z"), 3u);
  EXPECT_EQ(ValidUtf8Length("a\xe2\x82"), 1u);
}

TEST(AppendUtf8, EveryScalarValueIsOneCharacter) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const Utf8Part part = FirstUtf8Part(text);
    ASSERT_EQ(part.kind, Kind::kCharacter) << c;
    ASSERT_EQ(part.length, text.size()) << c;
  }
}

TEST(AppendUtf8, WritesKnownCharacters) {
  std::string text;
  for (const uint32_t c : {0x41u, 0xE9u, 0x7FFu, 0x800u, 0x20ACu, 0x1F600u}) {
    AppendUtf8(c, &text);
  }
  EXPECT_EQ(text, "A\u00e9\u07ff\u0800\u20ac\U0001f600");
}

}  // namespace
}  // namespace rwkvd
