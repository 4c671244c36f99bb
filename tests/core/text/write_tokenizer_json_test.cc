// SPDX-License-Identifier: Apache-2.0
#include "core/text/write_tokenizer_json.h"

#include <memory>
#include <string>
#include <vector>

#include "core/text/load_tokenizer.h"
#include "core/text/null_tokenizer.h"
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

TEST(WriteTokenizerJson, IsReadAsTheSameTokenizer) {
  const auto tokenizer = SmallWorld();
  const auto json = WriteTokenizerJson(*tokenizer, 270);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto read = TokenizerOfJson(*json, "written");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->kind(), "world");
  EXPECT_EQ((*read)->end_of_text(), 0);
  for (TokenId id = 0; id < 270; ++id) {
    EXPECT_EQ((*read)->TokenBytes(id), tokenizer->TokenBytes(id)) << id;
  }
  for (const char* text : {"abab\"\\x", "\xE4\xBD\xA0\xE4 \n", "\xFF"}) {
    EXPECT_EQ(*(*read)->Encode(text), *tokenizer->Encode(text)) << text;
  }
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

TEST(WriteTokenizerJson, EqualsTheOneOfTheOfficialReleases) {
  RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
  const std::string path =
      FormatFixtures() + "/hf7-release/model/tokenizer.json";
  const auto tokenizer = LoadTokenizer(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto json = WriteTokenizerJson(**tokenizer, 65536);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(nlohmann::json::parse(*json),
            nlohmann::json::parse(ReadWholeFile(path)));
}

TEST(WriteTokenizerJson, RefusesOtherTokenizers) {
  const NullTokenizer none(256);
  EXPECT_THAT(std::string(WriteTokenizerJson(none, 256).status().message()),
              HasSubstr("there is no tokenizer.json"));
}

}  // namespace
}  // namespace rwkvd
