// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "core/base/utf8.h"
#include "core/text/bpe_merges.h"
#include "core/text/nfc.h"
#include "core/text/tokenizer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/small_files.h"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<const BpeTokenizer> BpeOf(const std::string& text) {
  auto parsed = ParseTokenizerJson(text, "t.json");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return std::make_unique<const BpeTokenizer>(
      std::get<BpeVocabulary>(*std::move(parsed)));
}

// Merges: 256 "ab", 257 " ab", 258 "\xc3\xa9" (e with acute), 259 "\xe9\xe9".
json SmallModel() {
  return SmallTokenizerJson(
      {{"a", "b"}, {" ", "ab"}, {"\xc3", "\xa9"}, {"\xe9", "\xe9"}});
}

TEST(BpeTokenizerTest, MergesOnlyWithinWords) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  EXPECT_THAT(*tokenizer->Encode("abc ab"), ElementsAre(256, 'c', 257));
  // "a1b" is three words, so "a" and "b" are not merged.
  EXPECT_THAT(*tokenizer->Encode("a1b"), ElementsAre('a', '1', 'b'));
  EXPECT_THAT(*tokenizer->Encode("  ab"), ElementsAre(' ', 257));
  EXPECT_THAT(*tokenizer->Encode(""), IsEmpty());
}

TEST(BpeTokenizerTest, NormalizesBeforeMerging) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  EXPECT_THAT(*tokenizer->Encode("e\u0301"), ElementsAre(258));
  EXPECT_THAT(*tokenizer->Encode("\u00e9"), ElementsAre(258));
  EXPECT_EQ(tokenizer->Decode({258}), "\u00e9");
}

TEST(BpeTokenizerTest, EachInvalidByteIsOneToken) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  EXPECT_THAT(*tokenizer->Encode("\xff"), ElementsAre(255));
  // If the bytes E9 E9 were a word, they would be token 259.
  EXPECT_THAT(*tokenizer->Encode("\xe9\xe9"), ElementsAre(0xe9, 0xe9));
  // Invalid bytes separate words, and marks do not combine across them.
  EXPECT_THAT(*tokenizer->Encode("a\xff"
                                 "b ab"),
              ElementsAre('a', 0xff, 'b', 257));
  EXPECT_THAT(*tokenizer->Encode("e\x80\u0301"),
              ElementsAre('e', 0x80, 0xcc, 0x81));
  EXPECT_THAT(*tokenizer->Encode("ab\xe2\x82"
                                 "ab\xe2\x82"),
              ElementsAre(256, 0xe2, 0x82, 256, 0xe2, 0x82));
}

TEST(BpeTokenizerTest, ByteWithoutTokenIsRefusedWithOffset) {
  json document = SmallTokenizerJson({{"\xef", "\xbf"}});
  document["model"]["vocab"].erase("\u00ff");
  const auto tokenizer = BpeOf(document.dump());
  const auto ids = tokenizer->Encode("a\xfe\xff!");
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ids.status().message(),
            "byte 0xFF at offset 2 has no token in this vocabulary");
}

TEST(BpeTokenizerTest, AddedTokensMatchLeftmostThenLongest) {
  json document = SmallModel();
  AddToken(&document, "<|x|>", 300, false);
  AddToken(&document, "<|x|>>", 301, false);
  AddToken(&document, "b<", 302, false);
  const auto tokenizer = BpeOf(document.dump());
  EXPECT_THAT(*tokenizer->Encode("ab<|x|>ab"),
              ElementsAre('a', 302, '|', 'x', '|', '>', 256));
  EXPECT_THAT(*tokenizer->Encode("a<|x|>b"), ElementsAre('a', 300, 'b'));
  EXPECT_THAT(*tokenizer->Encode("<|x|>><|x|>"), ElementsAre(301, 300));
  EXPECT_THAT(*tokenizer->Encode("<|x|"), ElementsAre('<', '|', 'x', '|'));
  EXPECT_THAT(*tokenizer->Encode("\xff<|x|>\xff"),
              ElementsAre(0xff, 300, 0xff));
}

TEST(BpeTokenizerTest, NormalizedAddedTokensMatchAfterNormalization) {
  json document = SmallModel();
  AddToken(&document, "\u00e9!", 300, true);
  AddToken(&document, "\u00e8!", 301, false);
  AddToken(&document, "  ", 302, true);
  AddToken(&document, "   ", 303, true);
  const auto tokenizer = BpeOf(document.dump());
  EXPECT_THAT(*tokenizer->Encode("e\u0301!"), ElementsAre(300));
  EXPECT_THAT(*tokenizer->Encode("\u00e8!"), ElementsAre(301));
  EXPECT_THAT(*tokenizer->Encode(
                  "e\u0300!"),  // normalized after raw tokens are matched
              ElementsAre(0xc3, 0xa8, '!'));
  // Matched before the text is split into the words "   " and " ab".
  EXPECT_THAT(*tokenizer->Encode("    ab"), ElementsAre(303, 257));
  EXPECT_THAT(*tokenizer->Encode("     ab"), ElementsAre(303, 302, 256));
}

TEST(BpeTokenizerTest, NormalizedAddedTokenInOtherFormMatches) {
  json document = SmallModel();
  AddToken(&document, "e\u0301!", 300, true);
  EXPECT_THAT(*BpeOf(document.dump())->Encode("\u00e9!"), ElementsAre(300));
}

TEST(BpeTokenizerTest, ReportsKindSizeAndEndOfText) {
  json document = SmallModel();
  const auto plain = BpeOf(document.dump());
  EXPECT_EQ(plain->kind(), "bpe");
  EXPECT_EQ(plain->size(), 260);
  EXPECT_EQ(plain->end_of_text(), std::nullopt);
  AddToken(&document, "<|endoftext|>", 300, false);
  AddToken(&document, "<|padding|>", 302, false);
  const auto tokenizer = BpeOf(document.dump());
  EXPECT_EQ(tokenizer->size(), 303);
  EXPECT_EQ(tokenizer->end_of_text(), 300);
  EXPECT_THAT(*tokenizer->Encode("a<|endoftext|>b"),
              ElementsAre('a', 300, 'b'));
  EXPECT_EQ(tokenizer->TokenBytes(302), "<|padding|>");
  for (const TokenId id : {300, 301, 260, 303, -1, 1 << 30}) {
    EXPECT_EQ(tokenizer->TokenBytes(id), "") << id;
  }
}

TEST(BpeTokenizerTest, RandomBytesRoundTripUpToNormalization) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  std::mt19937 random(10);
  for (int i = 0; i < 500; ++i) {
    // Random bytes have few characters that normalization changes: at most some
    // 2-byte characters followed by a mark.
    const std::string bytes = RandomBytes(random, i);
    std::string expected;
    for (absl::string_view rest = bytes; !rest.empty();) {
      const size_t valid = ValidUtf8Length(rest);
      expected += Nfc(rest.substr(0, valid));
      rest.remove_prefix(valid);
      if (rest.empty()) break;
      expected += rest.front();
      rest.remove_prefix(1);
    }
    EXPECT_EQ(tokenizer->Decode(*tokenizer->Encode(bytes)), expected);
  }
}

TEST(BpeTokenizerTest, StopsAtTheLimitOnTokens) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  for (const std::string text : {"ab ab ab", "abababab", "\xff\xfe\xfd\xfc"}) {
    const auto all = tokenizer->Encode(text);
    ASSERT_TRUE(all.ok());
    const auto size = static_cast<int64_t>(all->size());
    EXPECT_EQ(*tokenizer->Encode(text, size), *all);
    EXPECT_EQ(tokenizer->Encode(text, size - 1).status().code(),
              absl::StatusCode::kOutOfRange);
  }
}

TEST(BpeTokenizerTest, TextThatNormalizationShortensIsNotTooLong) {
  const auto tokenizer = BpeOf(SmallModel().dump());
  // 3 bytes that become one.
  EXPECT_THAT(*tokenizer->Encode("\u212a", 1), ElementsAre('K'));
}

// A long text is normalized and split in blocks.
TEST(BpeTokenizerTest, LongTextsAreEncodedAsInOneBlock) {
  json document = SmallModel();
  AddToken(&document, "  ", 302, true);
  const auto tokenizer = BpeOf(document.dump());
  // This token could span two blocks, so that there is only one.
  AddToken(&document, "<not in the text>", 303, true);
  const auto whole = BpeOf(document.dump());
  const std::string pieces[] = {"ab",     " ",       "  ",     "\n",
                                "'s",     "e\u0301", "\u3000", "\u00a0",
                                "\u2003", "!",       "\u4e2d", "1"};
  std::mt19937 random(6);
  for (int i = 0; i < 4; ++i) {
    std::string text;
    while (text.size() < 500'000) text += pieces[random() % std::size(pieces)];
    ASSERT_EQ(*tokenizer->Encode(text), *whole->Encode(text));
  }
}

// Quadratic time in the length would exceed the test's time limit.
TEST(BpeTokenizerTest, MillionLetterWordIsEncodedInTime) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (int n = 1; n < 512; n *= 2) {
    merges.emplace_back(std::string(n, 'a'), std::string(n, 'a'));
  }
  const auto tokenizer = BpeOf(SmallTokenizerJson(merges).dump());
  const std::vector<TokenId> ids =
      *tokenizer->Encode(std::string(1 << 20, 'a'));
  ASSERT_EQ(ids.size(), (1u << 20) / 512);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 256 + 8), 2048);
}

class The20BTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    RWKVD_SKIP_WITHOUT_FIXTURES();
    directory_ = TokenizerFixtures() + "/20b/";
    tokenizer_ = BpeOf(ReadWholeFile(directory_ + "20B_tokenizer.json"));
  }

  std::string directory_;
  std::unique_ptr<const BpeTokenizer> tokenizer_;
};

TEST_F(The20BTokenizer, MatchesVectors) {
  const auto vectors = ReadVectors(directory_ + "vectors.jsonl");
  EXPECT_EQ(vectors.size(), 260u);
  for (const TokenizerVector& vector : vectors) {
    EXPECT_EQ(*tokenizer_->Encode(vector.bytes), vector.ids) << vector.bytes;
  }
}

// Words longer than a window of BpeWordEncoder.
TEST_F(The20BTokenizer, LongWordsAreEncodedAsIfMergedAtOnce) {
  const auto parsed = ParseTokenizerJson(
      ReadWholeFile(directory_ + "20B_tokenizer.json"), "20B");
  ASSERT_TRUE(parsed.ok());
  const auto& vocabulary = std::get<BpeVocabulary>(*parsed);
  std::mt19937 random(7);
  for (const int num_letters : {1, 2, 4, 26}) {
    std::string word(50'000, 'a');
    for (char& c : word) {
      c = static_cast<char>('a' +
                            random() % static_cast<unsigned>(num_letters));
    }
    std::vector<TokenId> symbols;
    for (const char c : word) {
      symbols.push_back(vocabulary.byte_ids[static_cast<uint8_t>(c)]);
    }
    BpeMerges::Scratch scratch;
    std::vector<BpeMerges::Piece> pieces;
    vocabulary.merges.Apply(symbols, &scratch, &pieces);
    const std::vector<TokenId> ids = *tokenizer_->Encode(word);
    ASSERT_EQ(ids.size(), pieces.size());
    for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(ids[i], pieces[i].id);
  }
}

TEST_F(The20BTokenizer, DecodedVectorsAreInNormalForm) {
  for (const auto& vector : ReadVectors(directory_ + "vectors.jsonl")) {
    if (vector.bytes.find("<|endoftext|>") != std::string::npos) continue;
    EXPECT_EQ(tokenizer_->Decode(vector.ids), Nfc(vector.bytes));
  }
}

TEST_F(The20BTokenizer, HasKnownSizeAndTokens) {
  EXPECT_EQ(tokenizer_->size(), 50277);
  EXPECT_EQ(tokenizer_->end_of_text(), 0);
  EXPECT_EQ(tokenizer_->TokenBytes(0), "");
  EXPECT_EQ(tokenizer_->TokenBytes(50254), std::string(24, ' '));
  EXPECT_EQ(tokenizer_->TokenBytes(50276), "  ");
  for (TokenId id = 1; id < 50277; ++id) {
    ASSERT_NE(tokenizer_->TokenBytes(id), "") << id;
  }
}

// All bytes except the 13 that the vocabulary lacks.
TEST_F(The20BTokenizer, BytesInVocabularyRoundTrip) {
  for (int i = 0; i < 256; ++i) {
    const std::string byte(1, static_cast<char>(i));
    const bool lacking = i == 0xC0 || i == 0xC1 || i >= 0xF5;
    const auto ids = tokenizer_->Encode(byte);
    ASSERT_EQ(ids.ok(), !lacking) << i;
    EXPECT_EQ(lacking ? byte : tokenizer_->Decode(*ids), byte);
  }
}

TEST_F(The20BTokenizer, NormalizedTextRoundTrips) {
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (int n = 0; n < i; ++n) {
      const uint32_t range = random() % 3;
      AppendUtf8(range == 0   ? random() % 0x80
                 : range == 1 ? random() % 0x800
                              : 0x1100 + random() % 0xC000,
                 &text);
    }
    const std::string normal = Nfc(text);
    EXPECT_EQ(tokenizer_->Decode(*tokenizer_->Encode(normal)), normal);
    EXPECT_EQ(*tokenizer_->Encode(text), *tokenizer_->Encode(normal));
  }
}

}  // namespace
}  // namespace rwkvd
