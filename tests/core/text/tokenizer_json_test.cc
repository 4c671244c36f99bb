// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_json.h"

#include <random>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/small_files.h"

namespace rwkvd {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<BpeVocabulary> ParseBpe(const std::string& text) {
  auto parsed = ParseTokenizerJson(text, "t.json");
  if (!parsed.ok()) return parsed.status();
  return std::get<BpeVocabulary>(*std::move(parsed));
}

absl::StatusOr<WordPieceVocabulary> ParseWordPiece(const json& document) {
  auto parsed = ParseTokenizerJson(document.dump(), "t.json");
  if (!parsed.ok()) return parsed.status();
  return std::get<WordPieceVocabulary>(*std::move(parsed));
}

void ExpectRefused(const std::string& text, const std::string& complaint) {
  const auto vocabulary = ParseTokenizerJson(text, "dir/t.json");
  EXPECT_EQ(vocabulary.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(vocabulary.status().message()),
              AllOf(StartsWith("dir/t.json: "), HasSubstr(complaint)));
}

TEST(ParseTokenizerJsonTest, ParsesBytesMergesAndAddedTokens) {
  json document = SmallTokenizerJson({{"a", "b"}, {" ", "ab"}});
  AddToken(&document, "<|endoftext|>", 300, false);
  AddToken(&document, "e\u0301", 301, true);
  const auto vocabulary = ParseBpe(document.dump());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  ASSERT_EQ(vocabulary->token_bytes.size(), 302u);
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(vocabulary->token_bytes[i], std::string(1, static_cast<char>(i)));
    EXPECT_EQ(vocabulary->byte_ids[i], i);
  }
  EXPECT_EQ(vocabulary->token_bytes[256], "ab");
  EXPECT_EQ(vocabulary->token_bytes[257], " ab");
  EXPECT_EQ(vocabulary->token_bytes[258], "");
  EXPECT_EQ(vocabulary->token_bytes[300], "<|endoftext|>");
  ASSERT_EQ(vocabulary->added.size(), 2u);
  EXPECT_FALSE(vocabulary->added[0].normalized);
  EXPECT_EQ(vocabulary->added[1].content,
            "\u00e9");  // normalized, as the text will be
  std::vector<BpeMerges::Piece> out;
  BpeMerges::Scratch scratch;
  vocabulary->merges.Apply({' ', 'a', 'b'}, &scratch, &out);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].id, 257);
}

TEST(ParseTokenizerJsonTest, MergesWrittenAsPairsAreAccepted) {
  json document = SmallTokenizerJson({{"a", "b"}});
  document["model"]["merges"] = json::array({json::array({"a", "b"})});
  EXPECT_TRUE(ParseBpe(document.dump()).ok());
}

TEST(ParseTokenizerJsonTest, AddedTokenInVocabularyIsAccepted) {
  json document = SmallTokenizerJson();
  document["model"]["vocab"]["<|endoftext|>"] = 256;
  AddToken(&document, "<|endoftext|>", 256, false);
  const auto vocabulary = ParseBpe(document.dump());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->token_bytes.size(), 257u);
}

// A change to a valid document: `value` replaces the value at a JSON pointer.
struct Change {
  const char* pointer;
  const char* value;
  const char* complaint;
};

TEST(ParseTokenizerJsonTest, MalformedFieldsAreRefusedByName) {
  const Change changes[] = {
      {"/normalizer/type", "\"NFD\"", "normalizer.type"},
      {"/model/vocab", "null", "model.vocab: expected an object"},
      {"/model/vocab", "[]", "model.vocab: expected an object"},
      {"/model/vocab", "{}", "missing 243: 0x00"},
      {"/model/vocab/a", "\"97\"", "model.vocab: \"a\": expected an id"},
      {"/model/vocab/a", "-1", "expected an id below 1048576, got -1"},
      {"/model/vocab/a", "1048576", "expected an id"},
      {"/model/vocab/a", "18446744073709551615", "expected an id"},
      {"/model/vocab/a", "97.0", "expected an id"},
      {"/model/vocab/a", "null", "expected an id"},
      {"/model/vocab/a", "true", "expected an id"},
      {"/model/vocab/a", "98", "expected each id once, got 98 again"},
      {"/model/vocab/", "256", "expected a token of 1 to 1024 bytes, got 0"},
      {"/model/merges", "null", "model.merges: expected an array"},
      {"/model/merges", "{}", "model.merges: expected an array"},
      {"/model/merges", "[\"a b\", 5]", "model.merges[1]: expected a string"},
      {"/model/merges", "[\"ab\"]", "two tokens with one space between"},
      {"/model/merges", "[\"\"]", "two tokens with one space between"},
      {"/model/merges", "[\"a b c\"]", "two tokens with one space between"},
      {"/model/merges", "[\" ab\"]", "\"\" is not in model.vocab"},
      {"/model/merges", "[[\"a\"]]", "expected a string or two strings"},
      {"/model/merges", "[[\"a\", 1]]", "expected a string or two strings"},
      {"/model/merges", "[[\"a\", \"b\", \"c\"]]", "expected a string or two"},
      {"/model/merges", "[\"a z\"]", "\"az\" is not in model.vocab"},
      {"/model/merges", "[\"xx a\"]", "\"xx\" is not in model.vocab"},
      {"/model/merges", "[\"a b\", \"a b\"]", "expected each pair once"},
      {"/added_tokens", "{}", "added_tokens: expected an array"},
      {"/added_tokens", "7", "added_tokens: expected an array"},
      {"/added_tokens/0", "null", "added_tokens[0]: expected an object"},
      {"/added_tokens/0/id", "-3", "added_tokens[0].id: expected an id"},
      {"/added_tokens/0/id", "\"x\"", "added_tokens[0].id"},
      {"/added_tokens/0/id", "1048576", "added_tokens[0].id"},
      {"/added_tokens/0/id", "97", "expected each id once, got 97 again"},
      {"/added_tokens/0/content", "7", "content: expected a string"},
      {"/added_tokens/0/content", "\"\"", "content: expected 1 to 1024 bytes"},
      {"/added_tokens/0/content", "\"a\"",
       "expected the id 97 that model.vocab gives it, got 300"},
      {"/added_tokens/0/single_word", "true", "single_word: expected false"},
      {"/added_tokens/0/lstrip", "true", "lstrip: expected false"},
      {"/added_tokens/0/rstrip", "true", "rstrip: expected false"},
      {"/added_tokens/0/rstrip", "0", "rstrip: expected false"},
      {"/added_tokens/0/normalized", "null", "normalized: expected a boolean"},
      {"/added_tokens/0/normalized", "1", "normalized: expected a boolean"},
      {"/added_tokens/0/special", "\"yes\"", "special: expected a boolean"},
      {"/added_tokens/0/color", "1", "the field \"color\" is not supported"},
      {"/added_tokens/1/content", "\"<|x|>\"", "is an added token already"},
      {"/added_tokens/1/id", "300", "expected each id once, got 300 again"}};
  for (const Change& change : changes) {
    SCOPED_TRACE(absl::StrCat(change.pointer, " = ", change.value));
    json document = SmallTokenizerJson({{"a", "b"}});
    AddToken(&document, "<|x|>", 300, false);
    AddToken(&document, "  ", 301, true);
    document[json::json_pointer(change.pointer)] = json::parse(change.value);
    ExpectRefused(document.dump(), change.complaint);
  }
}

TEST(ParseTokenizerJsonTest, TokensAboveLimitAreRefused) {
  const std::string longest(kMaxJsonTokenBytes, 'a');
  json document = SmallTokenizerJson();
  document["model"]["vocab"][longest] = 256;
  EXPECT_TRUE(ParseBpe(document.dump()).ok());
  document["model"]["vocab"][longest + "a"] = 257;
  ExpectRefused(document.dump(), "1 to 1024 bytes, got 1025");
  document = SmallTokenizerJson();
  AddToken(&document, longest + "a", 256, false);
  ExpectRefused(document.dump(), "expected 1 to 1024 bytes");
}

TEST(ParseTokenizerJsonTest, MissingSingleBytesAreRefusedByName) {
  json document = SmallTokenizerJson();
  document["model"]["vocab"].erase("\u0120");  // the space
  document["model"]["vocab"].erase("\u00f4");
  ExpectRefused(document.dump(), "missing 2: 0x20 0xf4");
}

TEST(ParseTokenizerJsonTest, BytesThatNeverOccurInUtf8MayBeMissing) {
  json document = SmallTokenizerJson();
  for (const char* byte :
       {"\u00c0", "\u00c1", "\u00f5", "\u00f6", "\u00f7", "\u00f8", "\u00f9",
        "\u00fa", "\u00fb", "\u00fc", "\u00fd", "\u00fe", "\u00ff"}) {
    document["model"]["vocab"].erase(byte);
  }
  const auto vocabulary = ParseBpe(document.dump());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->byte_ids[0xC1], -1);
  EXPECT_EQ(vocabulary->byte_ids[0xC2], 0xC2);
  EXPECT_EQ(vocabulary->byte_ids[0xF4], 0xF4);
  EXPECT_EQ(vocabulary->byte_ids[0xF5], -1);
  document["model"]["vocab"].erase("\u00c2");
  ExpectRefused(document.dump(), "missing 1: 0xc2");
}

TEST(ParseTokenizerJsonTest, AddedTokensWithEqualNormalFormAreRefused) {
  json document = SmallTokenizerJson();
  AddToken(&document, "e\u0301!", 256, true);
  AddToken(&document, "\u00e9!", 257, true);
  ExpectRefused(document.dump(), "is an added token already");
}

TEST(ParseTokenizerJsonTest, AddedTokenWithOtherBytesInVocabularyIsRefused) {
  json document = SmallTokenizerJson();
  // U+00E9 is the byte E9 in the vocabulary, and C3 A9 in the text.
  AddToken(&document, "\u00e9", 0xE9, false);
  ExpectRefused(document.dump(), "stands for other bytes in model.vocab");
}

TEST(ParseTokenizerJsonTest, MalformedJsonIsRefused) {
  const std::string good = SmallTokenizerJson().dump();
  ExpectRefused("", "parse error");
  ExpectRefused(good.substr(0, good.size() / 2), "parse error");
  ExpectRefused("{\"model\": {}, \"model\": {}}", "twice");
  ExpectRefused(std::string(1000, '['), "deeper than 16");
  ExpectRefused("[]", "the document: expected an object");
}

TEST(ParseTokenizerJsonTest, ByteOrderMarkIsIgnored) {
  EXPECT_TRUE(ParseBpe("\xEF\xBB\xBF" + SmallTokenizerJson().dump()).ok());
}

TEST(ParseTokenizerJsonTest, WordPieceTokensAreBytes) {
  json document = SmallWordPieceJson({"ab", "\xe4\xb8"});
  document["model"]["vocab"]["\uE000300\uE001"] = 300;
  AddToken(&document, "<|im|>", 301, true);
  const auto vocabulary = ParseWordPiece(document);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  ASSERT_EQ(vocabulary->token_bytes.size(), 302u);
  EXPECT_EQ(vocabulary->token_bytes[0], "");  // the end of text
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(vocabulary->token_bytes[i + 1],
              std::string(1, static_cast<char>(i)));
  }
  EXPECT_EQ(vocabulary->token_bytes[257], "ab");
  EXPECT_EQ(vocabulary->token_bytes[258], "\xe4\xb8");
  EXPECT_EQ(vocabulary->token_bytes[300], "");  // a placeholder
  EXPECT_EQ(vocabulary->token_bytes[301], "<|im|>");
  ASSERT_EQ(vocabulary->added.size(), 2u);
  EXPECT_EQ(vocabulary->added[0].content, "<|endoftext|>");
  EXPECT_EQ(vocabulary->added[0].id, 0);
}

// Without a normalizer, texts are searched for the token as it is written.
TEST(ParseTokenizerJsonTest, AddedTokensOfWordPieceAreNotNormalized) {
  json document = SmallWordPieceJson();
  AddToken(&document, "e\u0301", 300, true);
  const auto vocabulary = ParseWordPiece(document);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->added[1].content, "e\u0301");
}

// model.vocab may have a text outside of the byte alphabet for an added token.
TEST(ParseTokenizerJsonTest, AddedTokenMayReplacePlaceholder) {
  json document = SmallWordPieceJson();
  document["model"]["vocab"]["\u4e16"] = 300;
  AddToken(&document, "\u4e16", 300, false);
  const auto vocabulary = ParseWordPiece(document);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->token_bytes[300], "\u4e16");
}

TEST(ParseTokenizerJsonTest, MalformedWordPieceIsRefusedByName) {
  const Change changes[] = {
      {"/model/vocab", "null", "model.vocab: expected an object"},
      {"/model/vocab/a", "99", "expected each id once, got 99 again"},
      {"/model/vocab/", "300", "expected a token of 1 to 1024 bytes, got 0"},
      {"/model/vocab/\uE000", "98", "expected each id once, got 98 again"},
      {"/added_tokens", "[]", "expected token 0, which ends a document"},
      {"/added_tokens/0/id", "5", "expected the id 0 that model.vocab gives"},
      {"/added_tokens/0/lstrip", "true", "lstrip: expected false"}};
  for (const Change& change : changes) {
    SCOPED_TRACE(absl::StrCat(change.pointer, " = ", change.value));
    json document = SmallWordPieceJson();
    document[json::json_pointer(change.pointer)] = json::parse(change.value);
    ExpectRefused(document.dump(), change.complaint);
  }
}

TEST(ParseTokenizerJsonTest, AnySingleByteChangeIsHandled) {
  json document = SmallTokenizerJson({{"a", "b"}});
  AddToken(&document, "<|x|>", 300, false);
  const std::string good = document.dump();
  std::mt19937 random(9);
  for (int i = 0; i < 1000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] = static_cast<char>(random() >> 5);
    const auto vocabulary = ParseTokenizerJson(bad, "t.json");
    if (!vocabulary.ok()) {
      EXPECT_EQ(vocabulary.status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
}

}  // namespace
}  // namespace rwkvd
