// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// Knows token 1 = "ab" and token 2 = "\0\xff"; 0 ends a text.
class TwoTokens final : public Tokenizer {
 public:
  absl::StatusOr<std::vector<TokenId>> Encode(
      absl::string_view) const override {
    return std::vector<TokenId>();
  }
  absl::string_view TokenBytes(TokenId id) const override {
    if (id == 1) return "ab";
    return id == 2 ? absl::string_view("\0\xff", 2) : absl::string_view();
  }
  int64_t size() const override { return 3; }
  std::optional<TokenId> end_of_text() const override { return 0; }
  absl::string_view kind() const override { return "test"; }
};

TEST(Tokenizer, DecodeJoinsWhatTheTokensStandFor) {
  const TwoTokens tokenizer;
  EXPECT_EQ(tokenizer.Decode({}), "");
  EXPECT_EQ(tokenizer.Decode({1, 2, 0, 1}), std::string("ab\0\xff"
                                                        "ab",
                                                        6));
}

TEST(Tokenizer, DecodePassesOverIdsThatStandForNothing) {
  EXPECT_EQ(TwoTokens().Decode({-1, 1, 3, 1 << 30}), "ab");
}

}  // namespace
}  // namespace rwkvd
