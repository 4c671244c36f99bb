// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/clean_text.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(PythonStrip, RemovesWhiteSpaceOfPython) {
  EXPECT_EQ(PythonStrip("\t\n\v\f\r\x1C\x1D\x1E\x1F a b\x1F "), "a b");
  EXPECT_EQ(PythonStrip("\u0085\u00A0\u1680\u2000\u200Ax\u2028\u2029\u202F"
                        "\u205F\u3000"),
            "x");
  EXPECT_EQ(PythonStrip(" \u3000\n"), "");
  EXPECT_EQ(PythonStrip(""), "");
}

TEST(PythonStrip, KeepsOtherCharacters) {
  for (const char* text : {"\u200Bx\uFEFF", "\u2060x\u180E", "\u200Bx\u200B",
                           "\x1Bx\x7F", "\xC2x\x85", "\x80x\x80\x80"}) {
    EXPECT_EQ(PythonStrip(text), text);
  }
}

TEST(CleanChatText, RemovesEmptyLines) {
  EXPECT_EQ(CleanChatText("\r\n\r\n a\n\n\nb\r\n\r\nc \n"), "a\nb\nc");
  EXPECT_EQ(CleanChatText("a\r\rb\n\r\n\nc"), "a\r\rb\nc");
  EXPECT_EQ(CleanChatText("a\n \nb"), "a\n \nb");
  EXPECT_EQ(CleanChatText(""), "");
}

}  // namespace
}  // namespace rwkvd
