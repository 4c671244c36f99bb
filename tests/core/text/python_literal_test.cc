// SPDX-License-Identifier: Apache-2.0
#include "core/text/python_literal.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

TEST(ParsePythonLiteralTest, ValidLiteralsHavePythonsValue) {
  const struct {
    const char* literal;
    std::string bytes;
  } cases[] = {{"''", ""},
               {"b''", ""},
               {"'a b  c'", "a b  c"},
               {R"("it's")", "it's"},
               {R"('say "x"')", "say \"x\""},
               {R"('it\'s')", "it's"},
               {R"("a\"b")", "a\"b"},
               {R"('\\')", "\\"},
               {R"('\\x41')", "\\x41"},
               {R"('\n\t\r')", "\n\t\r"},
               {R"('\a\b\f\v\0')", std::string("\a\b\f\v\0", 5)},
               {R"('\x41\x7f')", "A\x7f"},
               {R"('\x80')", "\xc2\x80"},  // U+0080
               {R"('\xFf')", "\xc3\xbf"},
               {R"(b'\x80\xff')", "\x80\xff"},  // the bytes themselves
               {R"(b'a\x00b')", std::string("a\0b", 3)},
               {R"(b"it's\n")", "it's\n"},
               {R"('\u00e9\u20aC')", "\u00e9\u20ac"},
               {R"('\U0001F600')", "\U0001f600"},
               {"'\u4e2d\u6587 \U0001f600'", "\u4e2d\u6587 \U0001f600"}};
  for (const auto& c : cases) {
    const auto bytes = ParsePythonLiteral(c.literal);
    ASSERT_TRUE(bytes.ok()) << c.literal << ": " << bytes.status();
    EXPECT_EQ(*bytes, c.bytes) << c.literal;
  }
}

TEST(ParsePythonLiteralTest, MalformedLiteralsAreRefused) {
  const struct {
    const char* literal;
    const char* complaint;
  } cases[] = {{"", "expected '...'"},
               {"b", "expected '...'"},
               {"'", "expected '...'"},
               {"b'", "expected '...'"},
               {"'a", "expected '...'"},
               {"a'", "expected '...'"},
               {"'a\"", "expected '...'"},
               {" 'a'", "expected '...'"},
               {"'a' ", "expected '...'"},
               {"B'a'", "expected '...'"},
               {"r'a'", "expected '...'"},
               {"bb'a'", "expected '...'"},
               {"'''", "not escaped"},
               {"'a'b'", "not escaped"},
               {"'a'+'b'", "not escaped"},
               {R"('a\')", "ends within an escape"},
               {R"('\x4')", "2 hexadecimal digits"},
               {R"('\x')", "2 hexadecimal digits"},
               {R"('\xg0')", "2 hexadecimal digits"},
               {R"('\x-1')", "2 hexadecimal digits"},
               {R"('\u123')", "4 hexadecimal digits"},
               {R"('\U0001F60')", "8 hexadecimal digits"},
               {R"('\ud800')", "not a character"},
               {R"('\udfff')", "not a character"},
               {R"('\U00110000')", "not a character"},
               {R"('\Uffffffff')", "not a character"},
               {R"('\q')", "unknown escape"},
               {R"('\N{DASH}')", "unknown escape"},
               {R"('\1')", "unknown escape"},
               {R"('\012')", "unknown escape"},
               {R"(b'\u0041')", "unknown escape"},
               {"b'\u00e9'", "ASCII"},
               {"'\xff'", "UTF-8"},
               {"'\xed\xa0\x80'", "UTF-8"}};
  for (const auto& c : cases) {
    const auto bytes = ParsePythonLiteral(c.literal);
    EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument)
        << c.literal;
    EXPECT_THAT(std::string(bytes.status().message()), HasSubstr(c.complaint))
        << c.literal;
  }
}

}  // namespace
}  // namespace rwkvd
