// SPDX-License-Identifier: Apache-2.0
#include "core/text/text_blocks.h"

#include <string>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(TextBlocksTest, ShortTextIsOneBlock) {
  EXPECT_EQ(FirstBlock("a b"), 3u);
  EXPECT_EQ(FirstBlock(std::string(kMinBlockBytes, 'a')), kMinBlockBytes);
}

TEST(TextBlocksTest, BlockEndsBeforeWhiteSpaceAfterAnotherCharacter) {
  const std::string long_word(kMinBlockBytes + 10, 'a');
  for (const std::string space : {" ", "\t", "\n", "\v", "\f", "\r"}) {
    EXPECT_EQ(FirstBlock(long_word + space + "b"), long_word.size());
  }
  EXPECT_EQ(FirstBlock(long_word + "\u4e2d b"), long_word.size() + 3);
  EXPECT_EQ(FirstBlock(long_word + "b"), long_word.size() + 1);
}

TEST(TextBlocksTest, BlockDoesNotEndWithinWhiteSpace) {
  const std::string spaces(kMinBlockBytes + 10, ' ');
  EXPECT_EQ(FirstBlock(spaces + "a b"), spaces.size() + 1);
  const std::string long_word(kMinBlockBytes, 'a');
  for (const std::string space :
       {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2009", "\u200a", "\u2028",
        "\u2029", "\u202f", "\u205f", "\u3000"}) {
    const std::string text = long_word + space + " b c";
    EXPECT_EQ(FirstBlock(text), text.size() - 2) << space;
  }
  // U+200B is not white space.
  EXPECT_EQ(FirstBlock(long_word + "\u200b b"), long_word.size() + 3);
}

}  // namespace
}  // namespace rwkvd
