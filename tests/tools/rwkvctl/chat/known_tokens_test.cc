// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/known_tokens.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(KnownTokensTest, PrefixReturnsTokensOfAContinuedPrompt) {
  KnownTokens known;
  known.Set({1, 2, 3}, "abc");
  absl::string_view rest;
  EXPECT_THAT(known.Prefix("abcd", &rest), ElementsAre(1, 2, 3));
  EXPECT_EQ(rest, "d");
  EXPECT_THAT(known.Prefix("abc", &rest), ElementsAre(1, 2, 3));
  EXPECT_EQ(rest, "");
}

TEST(KnownTokensTest, PrefixIsEmptyForAnotherPrompt) {
  KnownTokens known;
  absl::string_view rest;
  EXPECT_THAT(known.Prefix("abx", &rest), IsEmpty());
  EXPECT_EQ(rest, "abx");
  known.Set({1, 2, 3}, "abc");
  EXPECT_THAT(known.Prefix("abx", &rest), IsEmpty());
  EXPECT_EQ(rest, "abx");
  EXPECT_THAT(known.Prefix("ab", &rest), IsEmpty());
  EXPECT_EQ(rest, "ab");
}

}  // namespace
}  // namespace rwkvd
