// SPDX-License-Identifier: Apache-2.0
#include "core/text/gguf_tokens.h"

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/text/world_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<std::string>> ParsedTokens(
    const std::vector<absl::string_view>& tokens,
    const std::vector<int32_t>& types, absl::string_view model = "rwkv") {
  return ParseGgufTokens({model, tokens, types}, "file");
}

TEST(GgufTokensTest, EscapesAreThoseOfPython) {
  const auto tokens = ParsedTokens(
      {"\\x00", "a'b", "c\"d", "\\'\"", "\\\\", "\\t\\n\\r", "\\xe4\\xbd"},
      {1, 1, 1, 1, 1, 1, 1});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre(std::string(1, '\0'), "a'b", "c\"d", "'\"",
                                   "\\", "\t\n\r", "\xe4\xbd"));
}

TEST(GgufTokensTest, ControlAndUnusedTokensHaveNoBytes) {
  const auto tokens = ParsedTokens({"<s>", "a", "[PAD2]"}, {3, 1, 5});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre("", "a", ""));
}

TEST(GgufTokensTest, BadTokensAreNamed) {
  EXPECT_THAT(
      std::string(ParsedTokens({"a", "\\q"}, {1, 1}).status().message()),
      HasSubstr("file: token 1, \"\\\\q\": unknown escape"));
  EXPECT_THAT(std::string(ParsedTokens({"\xe4"}, {1}).status().message()),
              HasSubstr("only ASCII"));
  EXPECT_THAT(std::string(ParsedTokens({"a"}, {4}).status().message()),
              HasSubstr("expected the type 1, 3 or 5, got 4"));
}

// The bytes that the hexadecimal digits stand for; empty for null.
std::string BytesOf(const nlohmann::json& hex) {
  return hex.is_null() ? "" : absl::HexStringToBytes(hex.get<std::string>());
}

TEST(GgufTokensTest, FixturesHaveTheBytesAndIdsOfLlamaCpp) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  const std::string refs = FormatFixtures() + "/gguf/refs/";
  const auto vocabulary =
      nlohmann::json::parse(std::ifstream(refs + "vocabulary.json"));
  std::vector<std::string> stored, expected;
  std::vector<int32_t> types;
  for (const auto& token : vocabulary) {
    stored.push_back(token["gguf_string"].get<std::string>());
    types.push_back(token["token_type"].get<int32_t>());
    expected.push_back(BytesOf(token["bytes_hex"]));
  }
  const auto tokens = ParsedTokens({stored.begin(), stored.end()}, types);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(*tokens, expected);

  const auto tokenizer = WorldTokenizer::FromTokens(*tokens, "file");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  int num_texts = 0;
  std::ifstream lines(refs + "tokens.jsonl");
  for (std::string line; std::getline(lines, line); ++num_texts) {
    const auto text = nlohmann::json::parse(line);
    EXPECT_EQ(*(*tokenizer)->Encode(text["text"].get<std::string>()),
              text["ids"].get<std::vector<TokenId>>())
        << line;
  }
  EXPECT_GT(num_texts, 10);
}

TEST(GgufTokensTest, OtherTokenizersAreNamed) {
  EXPECT_THAT(std::string(ParsedTokens({"a"}, {1}, "gpt2").status().message()),
              HasSubstr("file: expected the tokenizer \"rwkv\", got \"gpt2\""));
}

}  // namespace
}  // namespace rwkvd
