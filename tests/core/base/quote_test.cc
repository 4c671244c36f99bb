// SPDX-License-Identifier: Apache-2.0
#include "core/base/quote.h"

#include <string>

#include "core/base/utf8.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(QuotedTest, PlainTextGetsDoubleQuotes) {
  EXPECT_EQ(Quoted(""), "\"\"");
  EXPECT_EQ(Quoted("emb.weight"), "\"emb.weight\"");
  EXPECT_EQ(Quoted("h\u00E9llo \u4F60\U0001F600"),
            "\"h\u00E9llo \u4F60\U0001F600\"");
}

TEST(QuotedTest, QuotesBackslashesAndControlCharactersAreEscaped) {
  EXPECT_EQ(Quoted("a\"b\\c'"), "\"a\\\"b\\\\c'\"");
  EXPECT_EQ(Quoted("a\nb\r\t"), "\"a\\nb\\r\\t\"");
  EXPECT_EQ(Quoted(absl::string_view("\0\x1B[2J\x7F", 6)),
            "\"\\x00\\x1b[2J\\x7f\"");
  EXPECT_EQ(Quoted("\u009B2J"), "\"\\xc2\\x9b2J\"");
}

TEST(QuotedTest, BytesThatAreNotUtf8AreEscaped) {
  EXPECT_EQ(Quoted("a\xFFz"), "\"a\\xffz\"");
  EXPECT_EQ(Quoted("\xE4\xBD"), "\"\\xe4\\xbd\"");
  EXPECT_EQ(Quoted("\xED\xA0\x80"), "\"\\xed\\xa0\\x80\"");
}

TEST(QuotedTest, LongTextIsTruncatedBetweenCharacters) {
  const std::string longest(kMaxQuotedBytes, 'x');
  EXPECT_EQ(Quoted(longest), "\"" + longest + "\"");
  EXPECT_EQ(Quoted(longest + "y"), "\"" + longest + "\"...");
  const std::string shorter(kMaxQuotedBytes - 1, 'x');
  EXPECT_EQ(Quoted(shorter + "\u4F60"), "\"" + shorter + "\"...");
}

TEST(QuotedTest, LongInvalidTextStaysBounded) {
  const std::string quoted = Quoted(std::string(1 << 20, '\x80'));
  EXPECT_LE(quoted.size(), 4 * kMaxQuotedBytes + 5);
  EXPECT_EQ(ValidUtf8Length(quoted), quoted.size());
}

TEST(OneLineTest, OnlyControlCharactersAndInvalidBytesAreEscaped) {
  EXPECT_EQ(OneLine("a \"b\" c\\d 'e' \u4F60"), "a \"b\" c\\d 'e' \u4F60");
  EXPECT_EQ(OneLine("a\nb\r\x1B[2J"), "a\\nb\\r\\x1b[2J");
  EXPECT_EQ(OneLine("\u009B2J\xFFz"), "\\xc2\\x9b2J\\xffz");
  EXPECT_EQ(OneLine(""), "");
}

}  // namespace
}  // namespace rwkvd
