// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/drafter.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/engine/draft/draft_budget.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// Always guesses token 7, with the prior 0.5.
class SameGuess : public DraftSource {
 public:
  DraftKind kind() const override { return DraftKind::kPromptLookup; }
  DraftGuess Guess(absl::Span<const int32_t>, int64_t max,
                   std::vector<int32_t>* draft) override {
    draft->assign(max, 7);
    return {.grade = 1, .prior = 0.5};
  }
};

// Never guesses.
class NoGuess : public DraftSource {
 public:
  DraftKind kind() const override { return DraftKind::kForcedText; }
  DraftGuess Guess(absl::Span<const int32_t>, int64_t,
                   std::vector<int32_t>*) override {
    return {};
  }
};

Drafter MakeDrafter() {
  std::vector<std::unique_ptr<DraftSource>> sources;
  sources.push_back(std::make_unique<NoGuess>());
  sources.push_back(std::make_unique<SameGuess>());
  return Drafter(std::move(sources));
}

TEST(DrafterTest, FirstSourceWithAGuessIsUsed) {
  Drafter drafter = MakeDrafter();
  EXPECT_EQ(drafter.Guess({}, 3), 3);
  EXPECT_EQ(drafter.kind(), DraftKind::kPromptLookup);
  EXPECT_NEAR(drafter.acceptance(), 0.5, 1e-9);
  std::vector<State> states(2);
  drafter.Use(absl::MakeSpan(states));
  EXPECT_EQ(drafter.draft(), (std::vector<int32_t>{7, 7}));
  drafter.Settle(1, 0, true);
  EXPECT_TRUE(drafter.draft().empty());
}

TEST(DrafterTest, NoRoomGivesNoGuess) {
  Drafter drafter = MakeDrafter();
  EXPECT_EQ(drafter.Guess({}, 0), 0);
  EXPECT_EQ(drafter.Guess({}, -1), 0);
}

TEST(DrafterTest, AcceptanceFollowsTheVerifiedTokens) {
  Drafter drafter = MakeDrafter();
  for (int i = 0; i < 50; ++i) {
    drafter.Guess({}, 4);
    drafter.Settle(5, 4, false);
  }
  EXPECT_GT(drafter.acceptance(), 0.95);
  for (int i = 0; i < 50; ++i) {
    drafter.Guess({}, 4);
    drafter.Settle(1, 0, true);
  }
  EXPECT_LT(drafter.acceptance(), 0.1);
  // Without verification it returns to the prior.
  for (int i = 0; i < 500; ++i) {
    drafter.Guess({}, 4);
    drafter.Settle(1, 0, false);
  }
  EXPECT_NEAR(drafter.acceptance(), 0.5, 0.01);
}

TEST(DrafterTest, OverdrawnAccountGivesNoGuessUntilItIsRefilled) {
  Drafter drafter = MakeDrafter();
  drafter.Pay(Drafter::kFirstCredit + 0.055);
  int64_t num_steps = 0;
  while (drafter.Guess({}, 4) == 0) {
    drafter.Settle(1, 0, false);
    ++num_steps;
  }
  EXPECT_EQ(num_steps, 6);
}

TEST(DrafterTest, AcceptedTokensRefillTheAccountUpToALimit) {
  Drafter drafter = MakeDrafter();
  for (int i = 0; i < 100; ++i) drafter.Settle(5, 4, false);
  drafter.Pay(Drafter::kMaxCredit - 0.01);
  EXPECT_EQ(drafter.Guess({}, 4), 4);
  drafter.Pay(0.02);
  EXPECT_EQ(drafter.Guess({}, 4), 0);
}

// The law of the account: with guesses that are always wrong, on
// machines on which each of them costs little or much, the loss is 2 % at most.
TEST(DrafterTest, WrongGuessesCostAtMostTwoPercent) {
  for (const double cost : {0.02, 0.1, 0.5}) {
    Drafter drafter = MakeDrafter();
    DraftBudget budget(8, 1.4);
    double seconds = 0;
    constexpr int kNumSteps = 400;
    for (int i = 0; i < kNumSteps; ++i) {
      const int64_t num = drafter.Guess({}, 8);
      int64_t chosen = 0;
      if (num > 0) {
        chosen = budget.Choose(1, {{{num, drafter.acceptance()}}}, 8)[0];
      }
      const double step = 1 + cost * static_cast<double>(chosen);
      budget.Observe(1, chosen, step);
      drafter.Pay(budget.Cost(1, chosen));
      drafter.Settle(1, 0, chosen > 0);
      seconds += step;
    }
    EXPECT_LE(seconds, 1.02 * kNumSteps) << cost;
  }
}

}  // namespace
}  // namespace rwkvd
