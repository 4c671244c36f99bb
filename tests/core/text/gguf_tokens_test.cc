// SPDX-License-Identifier: Apache-2.0
#include "core/text/gguf_tokens.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<std::string>> Parse(
    const std::vector<absl::string_view>& tokens,
    const std::vector<int32_t>& types, absl::string_view model = "rwkv") {
  return ParseGgufTokens({model, tokens, types}, "file");
}

TEST(GgufTokensTest, EscapesAreThoseOfPython) {
  const auto tokens = Parse(
      {"\\x00", "a'b", "c\"d", "\\'\"", "\\\\", "\\t\\n\\r", "\\xe4\\xbd"},
      {1, 1, 1, 1, 1, 1, 1});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre(std::string(1, '\0'), "a'b", "c\"d", "'\"",
                                   "\\", "\t\n\r", "\xe4\xbd"));
}

TEST(GgufTokensTest, ControlAndUnusedTokensHaveNoBytes) {
  const auto tokens = Parse({"<s>", "a", "[PAD2]"}, {3, 1, 5});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre("", "a", ""));
}

TEST(GgufTokensTest, BadTokensAreNamed) {
  EXPECT_THAT(std::string(Parse({"a", "\\q"}, {1, 1}).status().message()),
              HasSubstr("file: token 1, \"\\\\q\": unknown escape"));
  EXPECT_THAT(std::string(Parse({"\xe4"}, {1}).status().message()),
              HasSubstr("only ASCII"));
  EXPECT_THAT(std::string(Parse({"a"}, {4}).status().message()),
              HasSubstr("expected the type 1, 3 or 5, got 4"));
}

TEST(GgufTokensTest, OtherTokenizersAreNamed) {
  EXPECT_THAT(std::string(Parse({"a"}, {1}, "gpt2").status().message()),
              HasSubstr("file: expected the tokenizer \"rwkv\", got \"gpt2\""));
}

}  // namespace
}  // namespace rwkvd
