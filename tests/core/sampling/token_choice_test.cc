// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <vector>

#include "core/sampling/logits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
constexpr float kNever = -std::numeric_limits<float>::infinity();

TEST(TokenChoiceTest, BiasesOfOneTokenAddUp) {
  std::vector<float> logits = {1.0f, 2.0f, 3.0f};
  AddBiases(std::vector<LogitBias>{{2, 0.5f}, {0, -4.0f}, {2, 0.25f}},
            absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(-3.0f, 2.0f, 3.75f));
}

TEST(TokenChoiceTest, BannedTokensBecomeMinusInfinity) {
  std::vector<float> logits = {1.0f, 2.0f, 3.0f};
  BanTokens({0, 2}, absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(kNever, 2.0f, kNever));
}

TEST(TokenChoiceTest, TokensNotAllowedBecomeMinusInfinity) {
  std::vector<float> logits(3);
  CopyAllowed({2, 1}, {1.0f, 2.0f, 3.0f}, absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(kNever, 2.0f, 3.0f));
}

}  // namespace
}  // namespace rwkvd
