// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer.json of the official releases, with vectors that the Hugging
// Face tokenizers library made.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using nlohmann::json;

constexpr char kEndOfText[] = "<|endoftext|>";

class OfficialTokenizerJson : public ::testing::Test {
 protected:
  void SetUp() override {
    RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES();
    auto tokenizer =
        LoadTokenizer(FormatFixtures() + "/hf7-release/model/tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  // The lines of a file of vectors.
  std::vector<json> Lines(const std::string& name) const {
    const std::string text =
        ReadWholeFile(FormatFixtures() + "/tokenizers/" + name);
    std::vector<json> lines;
    for (absl::string_view line :
         absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      lines.push_back(json::parse(line.begin(), line.end()));
    }
    return lines;
  }

  std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(OfficialTokenizerJson, HasTheWorldVocabulary) {
  EXPECT_EQ(tokenizer_->kind(), "world");
  EXPECT_EQ(tokenizer_->size(), 65530);  // without placeholders
  EXPECT_EQ(tokenizer_->end_of_text(), 0);
  RWKVD_SKIP_WITHOUT_FIXTURES();
  const auto world =
      LoadTokenizer(TokenizerFixtures() + "/world/rwkv_vocab_v20230424.txt");
  ASSERT_TRUE(world.ok()) << world.status();
  for (TokenId id = 0; id < 65536; ++id) {
    ASSERT_EQ(tokenizer_->TokenBytes(id), (*world)->TokenBytes(id)) << id;
  }
}

TEST_F(OfficialTokenizerJson, EncodesAsTheLibraryDoes) {
  const std::vector<json> lines = Lines("more-vectors.jsonl");
  EXPECT_EQ(lines.size(), 36u);
  for (const json& line : lines) {
    EXPECT_EQ(*tokenizer_->Encode(line["text"].get<std::string>()),
              line["ids"].get<std::vector<TokenId>>())
        << line["text"];
  }
}

TEST_F(OfficialTokenizerJson, FindsTheEndOfText) {
  const std::vector<json> lines = Lines("endoftext-exceptions.jsonl");
  EXPECT_EQ(lines.size(), 16u);
  for (const json& line : lines) {
    EXPECT_EQ(*tokenizer_->Encode(line["text"].get<std::string>()),
              line["ids_tokenizer_json"].get<std::vector<TokenId>>())
        << line["text"];
  }
}

// Ids without bytes in the vectors, which the library decodes to texts of its
// own, stand for no bytes.
TEST_F(OfficialTokenizerJson, DecodesToBytes) {
  const std::vector<json> lines = Lines("decode-vectors.jsonl");
  EXPECT_EQ(lines.size(), 25u);
  for (const json& line : lines) {
    std::vector<TokenId> with_bytes;
    for (const TokenId id : line["ids"].get<std::vector<TokenId>>()) {
      if (id > 0 && id < 65530) with_bytes.push_back(id);
    }
    const std::string bytes =
        tokenizer_->Decode(line["ids"].get<std::vector<TokenId>>());
    EXPECT_EQ(bytes, tokenizer_->Decode(with_bytes));
    if (line["bytes_hex"].is_null()) continue;
    EXPECT_EQ(bytes,
              absl::HexStringToBytes(line["bytes_hex"].get<std::string>()));
  }
}

TEST_F(OfficialTokenizerJson, EncodesOtherTextAsTheWorldVocabulary) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  for (const char* name : {"vectors.jsonl", "byte-vectors.jsonl"}) {
    for (const TokenizerVector& vector :
         ReadVectors(TokenizerFixtures() + "/world/" + name)) {
      if (absl::StrContains(vector.bytes, kEndOfText)) continue;
      EXPECT_EQ(*tokenizer_->Encode(vector.bytes), vector.ids) << vector.bytes;
    }
  }
}

}  // namespace
}  // namespace rwkvd
