// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/draft_budget.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// The seconds of a step with so many rows on some machine.
using StepSeconds = std::function<double(int64_t num_rows)>;

// Rows are free up to 8, as long as reading the weights takes.
double MemoryBound(int64_t num_rows) {
  return num_rows <= 8 ? 0.016 : 0.002 * static_cast<double>(num_rows);
}

double ComputeBound(int64_t num_rows) {
  return 0.001 + 0.004 * static_cast<double>(num_rows);
}

// The draft tokens of each step while all sequences have guesses of 8 tokens.
std::vector<int64_t> DriveBudget(DraftBudget& budget,
                                 const StepSeconds& seconds,
                                 int64_t num_decoding, double acceptance,
                                 int num_steps) {
  std::vector<int64_t> drafted;
  const std::vector<DraftBudget::Guess> guesses(num_decoding, {8, acceptance});
  for (int i = 0; i < num_steps; ++i) {
    int64_t sum = 0;
    for (const int64_t n : budget.Choose(num_decoding, guesses, 8)) sum += n;
    budget.Observe(num_decoding, sum, seconds(num_decoding + sum));
    drafted.push_back(sum);
  }
  return drafted;
}

TEST(DraftBudgetTest, NumberOfDraftTokensGrowsAsStepsAreMeasured) {
  DraftBudget budget(8, 1.4);
  EXPECT_EQ(DriveBudget(budget, MemoryBound, 1, 0.9, 5),
            (std::vector<int64_t>{0, 1, 2, 4, 8}));
}

TEST(DraftBudgetTest, CheapRowsAreFilledIfGuessesAreOftenRight) {
  DraftBudget budget(8, 1.4);
  DriveBudget(budget, MemoryBound, 1, 0.95, 50);
  EXPECT_GE(budget.Choose(1, {{{8, 0.95}}}, 8)[0], 7);
}

TEST(DraftBudgetTest, WrongGuessesAreNotVerified) {
  DraftBudget budget(8, 1.4);
  DriveBudget(budget, MemoryBound, 1, 0.9, 50);
  EXPECT_EQ(budget.Choose(1, {{{8, 0.001}}}, 8)[0], 0);
}

TEST(DraftBudgetTest, ExpensiveRowsAreNotUsedForUnlikelyTokens) {
  DraftBudget budget(8, 1.4);
  for (const double acceptance : {0.9, 0.5}) {
    DriveBudget(budget, ComputeBound, 4, acceptance, 200);
  }
  // One row adds 0.004 to 0.017 seconds, one token 0.5 to 4.
  const std::vector<DraftBudget::Guess> guesses(4, {8, 0.5});
  for (const int64_t n : budget.Choose(4, guesses, 8)) EXPECT_EQ(n, 0);
}

TEST(DraftBudgetTest, ManySequencesDraftNothing) {
  DraftBudget budget(8, 1.4);
  const int64_t many = DraftBudget::kMaxDecoding + 1;
  for (const int64_t n : DriveBudget(budget, MemoryBound, many, 1, 20)) {
    EXPECT_EQ(n, 0);
  }
}

TEST(DraftBudgetTest, SeveralSequencesDraftWithinTheSlowdown) {
  const StepSeconds linear = [](int64_t rows) {
    return 0.010 + 0.002 * static_cast<double>(rows);
  };
  for (const int64_t num_decoding : {1, 2}) {
    DraftBudget budget(8, 1.4);
    const auto drafted = DriveBudget(budget, linear, num_decoding, 1, 60);
    const double slowdown =
        linear(num_decoding + drafted.back()) / linear(num_decoding);
    if (num_decoding == 1) {
      EXPECT_GT(slowdown, 2);
    } else {
      EXPECT_LE(slowdown, 1.4);
      EXPECT_GT(slowdown, 1);
    }
  }
}

TEST(DraftBudgetTest, LikelierGuessesGetMoreTokens) {
  DraftBudget budget(8, 1.4);
  DriveBudget(budget, MemoryBound, 2, 0.9, 20);
  const auto chosen = budget.Choose(2, {{{8, 0.3}, {8, 0.95}}}, 6);
  EXPECT_GT(chosen[1], chosen[0]);
  EXPECT_LE(chosen[0] + chosen[1], 6);
}

TEST(DraftBudgetTest, GuessesAreNeverExceeded) {
  DraftBudget budget(8, 1.4);
  DriveBudget(budget, MemoryBound, 2, 0.9, 20);
  const auto chosen = budget.Choose(2, {{{1, 1.0}, {2, 1.0}}}, 8);
  EXPECT_EQ(chosen[0], 1);
  EXPECT_EQ(chosen[1], 2);
}

TEST(DraftBudgetTest, PlainStepsAreMeasuredNowAndThen) {
  DraftBudget budget(8, 1.4);
  int plain = 0;
  for (const int64_t n : DriveBudget(budget, MemoryBound, 1, 1, 660)) {
    plain += n == 0 ? 1 : 0;
  }
  EXPECT_GE(plain, 10);
  EXPECT_LE(plain, 12);
}

TEST(DraftBudgetTest, SlowStepIsForgotten) {
  DraftBudget budget(8, 1.4);
  DriveBudget(budget, MemoryBound, 1, 0.9, 20);
  for (int i = 0; i < 20; ++i) budget.Observe(1, 7, 1.0);
  const auto drafted = DriveBudget(budget, MemoryBound, 1, 0.9, 1300);
  EXPECT_EQ(std::count(drafted.begin(), drafted.begin() + 900, 7), 0);
  EXPECT_GE(std::count(drafted.end() - 100, drafted.end(), 7), 90);
}

TEST(DraftBudgetTest, CostIsThePartThatDraftsAdd) {
  DraftBudget budget(8, 1.4);
  budget.Observe(2, 0, 0.010);
  budget.Observe(2, 4, 0.012);
  EXPECT_NEAR(budget.Cost(2, 4), 0.2, 1e-9);
  EXPECT_NEAR(budget.Cost(2, 6), 0.2, 1e-9);  // not measured
  EXPECT_EQ(budget.Cost(2, 3), 0);
  EXPECT_EQ(budget.Cost(1, 3), 0);
}

TEST(DraftBudgetTest, ClockThatStandsStillDraftsAll) {
  DraftBudget budget(8, 1.4);
  const auto drafted = DriveBudget(
      budget, [](int64_t) { return 0; }, 1, 0.5, 20);
  EXPECT_GT(drafted.back(), 0);
}

}  // namespace
}  // namespace rwkvd
