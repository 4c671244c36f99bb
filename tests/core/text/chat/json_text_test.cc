// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/json_text.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::string Rewritten(absl::string_view text) {
  const auto json = RewriteJsonObject(text);
  return json.ok() ? *json : absl::StrCat("error: ", json.status().message());
}

// Objects in each other.
std::string Nested(int depth) {
  std::string text;
  for (int i = 1; i < depth; ++i) text += "{\"a\":";
  text += "{}";
  return text + std::string(depth - 1, '}');
}

TEST(JsonString, EscapesAsPythonDoes) {
  EXPECT_EQ(JsonString("a\"\\/\b\f\n\r\t\x01\x1F\x7F<\u00E9"),
            "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F<\u00E9\"");
  EXPECT_EQ(JsonString(""), "\"\"");
}

TEST(RewriteJsonObject, WritesSpacesAndKeepsOrder) {
  EXPECT_EQ(Rewritten("{}"), "{}");
  EXPECT_EQ(Rewritten("{ \"b\":1,\n\"a\":[1,[],{},{\"c\":null}] }"),
            "{\"b\": 1, \"a\": [1, [], {}, {\"c\": null}]}");
  EXPECT_EQ(Rewritten("{\"t\":true,\"f\":false,\"s\":\"\\u00e9\\/\\n\"}"),
            "{\"t\": true, \"f\": false, \"s\": \"\u00E9/\\n\"}");
}

TEST(RewriteJsonObject, KeepsNumbers) {
  const std::string numbers =
      "{\"a\": [0, -1, 12345678901234567890, 100000.0, 1e-07, -0.5, "
      "123456789012345678901234567890]}";
  EXPECT_EQ(Rewritten(numbers), numbers);
}

TEST(RewriteJsonObject, RefusesOtherTexts) {
  EXPECT_EQ(Rewritten("[]"), "error: expected a JSON object, got an array");
  for (const char* text :
       {"1", "\"a\"", "null", "", "{", "{}{}", "{\"a\"}", "{\"a\":1,}",
        "{\"a\":NaN}", "{\"\n\":1}", "{\"a\":\"\xFF\"}", "{\"a\":1e999}"}) {
    EXPECT_FALSE(CheckJsonObject(text).ok()) << text;
    EXPECT_FALSE(CheckJsonObject(text).message().empty()) << text;
  }
}

TEST(RewriteJsonObject, RefusesDeepNesting) {
  EXPECT_EQ(Rewritten(Nested(kMaxChatJsonDepth)).substr(0, 6), "{\"a\": ");
  EXPECT_EQ(Rewritten(Nested(kMaxChatJsonDepth + 1)),
            "error: expected at most 32 levels of nested JSON");
  EXPECT_FALSE(CheckJsonObject("{\"a\":" + std::string(100000, '[')).ok());
}

}  // namespace
}  // namespace rwkvd
