// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A tokenizer with token 1 = "ab" and token 2 = "\0\xff"; token 0 ends a text.
class TwoTokens final : public Tokenizer {
 public:
  absl::string_view TokenBytes(TokenId id) const override {
    if (id == 1) return "ab";
    return id == 2 ? absl::string_view("\0\xff", 2) : absl::string_view();
  }
  int64_t max_bytes_per_token() const override { return 2; }
  int64_t size() const override { return 3; }
  std::optional<TokenId> end_of_text() const override { return 0; }
  absl::string_view kind() const override { return "test"; }
  bool has_encoded() const { return has_encoded_; }

 private:
  // Every two bytes are token 1.
  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(absl::string_view bytes,
                                                  size_t) const override {
    has_encoded_ = true;
    return std::vector<TokenId>((bytes.size() + 1) / 2, 1);
  }
  int64_t MaxWorkMemory(absl::string_view bytes) const override {
    return static_cast<int64_t>(bytes.size());
  }

  mutable bool has_encoded_ = false;
};

TEST(TokenizerTest, TextWithMoreTokensThanAllowedIsRefused) {
  const TwoTokens tokenizer;
  EXPECT_EQ(tokenizer.Encode("ababab", 3)->size(), 3u);
  EXPECT_EQ(tokenizer.Encode("ababa", 2).status().message(),
            "has more than 2 tokens");
  EXPECT_EQ(tokenizer.Encode("ababa", 2).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(tokenizer.Encode("", 0)->size(), 0u);
}

TEST(TokenizerTest, TextThatIsSurelyTooLongIsNotEncoded) {
  const TwoTokens tokenizer;
  EXPECT_EQ(tokenizer.Encode("ababab", 2).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(tokenizer.has_encoded());
}

TEST(TokenizerTest, MemoryBoundCountsTokensUpToTheLimit) {
  const TwoTokens tokenizer;
  EXPECT_EQ(tokenizer.MaxEncodeMemory("ababab", 100), 12 * 7 + 6);
  EXPECT_EQ(tokenizer.MaxEncodeMemory("ababab", 2), 12 * 3 + 6);
}

TEST(TokenizerTest, DecodeConcatenatesTokenBytes) {
  const TwoTokens tokenizer;
  EXPECT_EQ(tokenizer.Decode({}), "");
  EXPECT_EQ(tokenizer.Decode({1, 2, 0, 1}), std::string("ab\0\xff"
                                                        "ab",
                                                        6));
}

TEST(TokenizerTest, DecodeSkipsIdsWithoutBytes) {
  EXPECT_EQ(TwoTokens().Decode({-1, 1, 3, 1 << 30}), "ab");
}

TEST(CheckEveryByteIsATokenTest, CallsPredicateOncePerByte) {
  std::string asked;
  EXPECT_TRUE(CheckEveryByteIsAToken("v", [&](absl::string_view byte) {
                asked += std::string(byte);
                return true;
              }).ok());
  ASSERT_EQ(asked.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(asked[i], static_cast<char>(i));
}

TEST(CheckEveryByteIsATokenTest, ErrorListsMissingBytes) {
  const absl::Status status = CheckEveryByteIsAToken(
      "dir/v.txt",
      [](absl::string_view byte) { return byte != "\n" && byte != "\xf0"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("dir/v.txt: "));
  EXPECT_THAT(std::string(status.message()), EndsWith("missing 2: 0x0a 0xf0"));
}

TEST(CheckEveryByteIsATokenTest, ErrorListsOnlyFirstOfManyMissingBytes) {
  const absl::Status status =
      CheckEveryByteIsAToken("v", [](absl::string_view) { return false; });
  EXPECT_THAT(std::string(status.message()), HasSubstr("missing 256: 0x00 "));
  EXPECT_THAT(std::string(status.message()), EndsWith(" 0x0f ..."));
}

}  // namespace
}  // namespace rwkvd
