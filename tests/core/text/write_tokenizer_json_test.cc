// SPDX-License-Identifier: Apache-2.0
#include "core/text/write_tokenizer_json.h"

#include <algorithm>
#include <memory>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "core/text/load_tokenizer.h"
#include "core/text/null_tokenizer.h"
#include "core/text/token_pattern.h"
#include "core/text/world_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// The single bytes and some longer tokens. Id 260 is not used.
std::unique_ptr<const Tokenizer> SmallWorld() {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  for (const char* token : {"ab", "\"\\", "\xE4\xBD\xA0", "", " \n"}) {
    tokens.emplace_back(token);
  }
  auto tokenizer = WorldTokenizer::FromTokens(std::move(tokens), "small");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(TokenPattern, IsTheTrieOfTheTokens) {
  EXPECT_EQ(LongestTokenPattern({}), "");
  EXPECT_EQ(LongestTokenPattern({"ab"}), "ab");
  EXPECT_EQ(LongestTokenPattern({"c", "ab", "a", "c"}), "(?:ab?|c)");
  EXPECT_EQ(LongestTokenPattern({"a", "abc", "abd"}), "a(?:b[cd])?");
  EXPECT_EQ(LongestTokenPattern({"x", "xa", "xbc"}), "x(?:bc|a)?");
}

TEST(TokenPattern, IsInTheByteAlphabetAndEscaped) {
  EXPECT_EQ(LongestTokenPattern({" ", "-", "]", "^"}), "[\xC4\xA0\\-\\]\\^]");
  EXPECT_EQ(LongestTokenPattern({"(?"}), "\\(\\?");
  EXPECT_EQ(LongestTokenPattern({"\xFF\n"}), "\xC3\xBF\xC4\x8A");
}

// The regular expressions of C++ are like those of JavaScript, whose operators
// in these patterns have the meaning that they have in Oniguruma.
TEST(TokenPattern, MatchesTheLongestToken) {
  const std::vector<absl::string_view> tokens = {
      "a", "b", "-", "aab", "aabba", "ab-", "ab", "ba", "b-a-b"};
  const std::regex pattern(LongestTokenPattern(tokens));
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 8; ++i) text += "ab-"[random() % 3];
    size_t longest = 0;
    for (const absl::string_view token : tokens) {
      if (absl::StartsWith(text, token)) {
        longest = std::max(longest, token.size());
      }
    }
    std::smatch match;
    ASSERT_TRUE(std::regex_search(text, match, pattern,
                                  std::regex_constants::match_continuous));
    EXPECT_EQ(static_cast<size_t>(match.length()), longest) << text;
  }
}

TEST(WriteTokenizerJson, SplitsAtTokensAndLooksThemUp) {
  const auto json = WriteTokenizerJson(*SmallWorld(), 270);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto document = nlohmann::json::parse(*json);
  EXPECT_EQ(document["model"]["type"], "WordPiece");
  const auto& split = document["pre_tokenizer"]["pretokenizers"];
  ASSERT_EQ(split.size(), 2u);
  EXPECT_EQ(split[0]["type"], "ByteLevel");
  EXPECT_EQ(split[1]["behavior"], "Isolated");
  const std::string pattern = split[1]["pattern"]["Regex"];
  EXPECT_THAT(pattern, HasSubstr("|\"\\\\?|"));
  EXPECT_THAT(pattern, HasSubstr("|ab?|"));
}

TEST(WriteTokenizerJson, HasAnEntryForEachId) {
  const auto json = WriteTokenizerJson(*SmallWorld(), 270);
  const auto document = nlohmann::json::parse(*json);
  const auto& vocabulary = document["model"]["vocab"];
  EXPECT_EQ(vocabulary.size(), 270u);
  EXPECT_EQ(vocabulary["<|endoftext|>"], 0);
  EXPECT_EQ(vocabulary["\xEE\x80\x80"
                       "260\xEE\x80\x81"],
            260);
  EXPECT_EQ(document["added_tokens"][0]["id"], 0);
}

TEST(WriteTokenizerJson, TokenizerOfBytesHasNoEndOfText) {
  const auto bytes = LoadTokenizer("bytes");
  const auto json = WriteTokenizerJson(**bytes, 256);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto document = nlohmann::json::parse(*json);
  EXPECT_EQ(document["model"]["vocab"].size(), 256u);
  EXPECT_TRUE(document["added_tokens"].empty());
}

TEST(WriteTokenizerJson, HasTheTokensOfTheOfficialReleases) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  const std::string path =
      FormatFixtures() + "/hf7-release/model/tokenizer.json";
  const auto tokenizer = LoadTokenizer(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto json = WriteTokenizerJson(**tokenizer, 65536);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto document = nlohmann::json::parse(*json);
  const auto official = nlohmann::json::parse(ReadWholeFile(path));
  EXPECT_EQ(document["model"], official["model"]);
  EXPECT_LE(static_cast<int64_t>(json->size()),
            MaxTokenizerJsonBytes(**tokenizer, 65536));
  EXPECT_EQ(document["added_tokens"], official["added_tokens"]);
  EXPECT_EQ(document["decoder"], official["decoder"]);
  EXPECT_EQ(document["normalizer"], official["normalizer"]);
}

TEST(WriteTokenizerJson, IsNotLargerThanItsBound) {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  for (int i = 0; i < 256; ++i) {  // what takes most: backslashes, branches
    tokens.push_back(std::string(40, '\\') + static_cast<char>(i));
    tokens.push_back(tokens.back() + "\\\\\\");
  }
  const auto tokenizer = WorldTokenizer::FromTokens(std::move(tokens), "large");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto json = WriteTokenizerJson(**tokenizer, 1000);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_LE(static_cast<int64_t>(json->size()),
            MaxTokenizerJsonBytes(**tokenizer, 1000));
}

TEST(WriteTokenizerJson, RefusesOtherTokenizers) {
  const NullTokenizer none(256);
  EXPECT_THAT(std::string(WriteTokenizerJson(none, 256).status().message()),
              HasSubstr("there is no tokenizer.json: the model has no"));
}

}  // namespace
}  // namespace rwkvd
