// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prompt_budget.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// The seconds that a step of so many tokens takes on some machine.
using Machine = std::function<double(int64_t num_decoding, int64_t num_read)>;

// The prefilled tokens of `num_steps` steps while prompts keep arriving.
std::vector<int64_t> Drive(PromptBudget& budget, const Machine& machine,
                           int64_t num_decoding, int num_steps) {
  std::vector<int64_t> read;
  for (int i = 0; i < num_steps; ++i) {
    read.push_back(budget.Next());
    budget.Observe(num_decoding, read.back(),
                   machine(num_decoding, read.back()));
  }
  return read;
}

// Seconds proportional to the tokens, plus a constant for reading the weights.
double Linear(int64_t num_decoding, int64_t num_read) {
  return 0.010 + 0.001 * num_decoding + 0.0005 * num_read;
}

TEST(PromptBudgetTest, FirstBudgetIsTheMinimum) {
  EXPECT_EQ(PromptBudget(1.5, 16, 256).Next(), 16);
  EXPECT_EQ(PromptBudget(1.5, 16, 9).Next(), 9);  // at most the maximum
}

TEST(PromptBudgetTest, BudgetKeepsStepsWithinTheSlowdown) {
  PromptBudget budget(1.5, 4, 256);
  Drive(budget, Linear, 30, 100);
  // Half of 0.010 + 0.030 seconds, at 0.0005 seconds per token.
  EXPECT_EQ(budget.Next(), 40);
  for (const int64_t read : Drive(budget, Linear, 30, 1000)) {
    EXPECT_LE(Linear(30, read), 1.5 * Linear(30, 0) + 1e-9);
  }
}

TEST(PromptBudgetTest, BudgetIsEvenBetweenMeasurements) {
  PromptBudget budget(1.4, 4, 256);
  Drive(budget, Linear, 30, 200);
  const std::vector<int64_t> read = Drive(budget, Linear, 30, 330);
  EXPECT_EQ(std::count(read.begin(), read.end(), 0), 10);
  EXPECT_EQ(std::count(read.begin(), read.end(), 32), 320);
}

TEST(PromptBudgetTest, PrefillPausesForSingleStepsAtTheStatedRate) {
  PromptBudget budget(1.5, 4, 256);
  const std::vector<int64_t> read = Drive(budget, Linear, 8, 2000);
  int64_t since = 0;
  for (const int64_t tokens : read) {
    if (tokens > 0) {
      ASSERT_GE(tokens, 4);
      ++since;
    } else {
      ASSERT_EQ(since, PromptBudget::kStepsBetweenMeasurements);
      since = 0;
    }
  }
}

TEST(PromptBudgetTest, ExpensiveTokensGetTheMinimum) {
  const Machine dear = [](int64_t, int64_t num_read) {
    return 0.01 + 0.01 * num_read;
  };
  PromptBudget budget(1.5, 16, 256);
  Drive(budget, dear, 1, 100);
  EXPECT_EQ(budget.Next(), 16);
}

TEST(PromptBudgetTest, FreeTokensGetTheMaximum) {
  const Machine constant = [](int64_t, int64_t) { return 0.25; };
  const Machine stopped = [](int64_t, int64_t) { return 0.0; };
  for (const Machine& machine : {constant, stopped}) {
    PromptBudget budget(1.5, 16, 256);
    Drive(budget, machine, 3, 100);
    EXPECT_EQ(budget.Next(), 256);
  }
}

// The first few rows cost nothing, because reading the weights takes longer.
TEST(PromptBudgetTest, BudgetGrowsBeyondFreeTokensWithoutASpike) {
  const Machine bound = [](int64_t num_decoding, int64_t num_read) {
    return std::max(0.040, 0.001 * (num_decoding + num_read));
  };
  PromptBudget budget(1.5, 8, 256);
  for (const int64_t read : Drive(budget, bound, 1, 1000)) {
    EXPECT_LE(read, 59 * 1.05);
  }
  EXPECT_EQ(budget.Next(), 59);
}

TEST(PromptBudgetTest, SlowOutliersKeepTheBudget) {
  std::mt19937 random(4);
  const Machine preempted = [&](int64_t num_decoding, int64_t num_read) {
    const double noise = 1 + 0.02 * (random() % 100) / 100.0;
    return Linear(num_decoding, num_read) * noise *
           (random() % 10 == 0 ? 4 : 1);
  };
  PromptBudget budget(1.5, 4, 256);
  Drive(budget, preempted, 30, 200);
  std::vector<int64_t> read = Drive(budget, preempted, 30, 3000);
  std::erase(read, 0);
  std::sort(read.begin(), read.end());
  // 40 tokens without outliers; a tenth of all steps are outliers.
  EXPECT_GE(read[read.size() / 20], 20);
  EXPECT_GE(read[read.size() / 2], 30);
  EXPECT_LE(read.back(), 44);
}

TEST(PromptBudgetTest, BudgetFollowsSpeedAndLoad) {
  PromptBudget budget(1.5, 4, 256);
  Drive(budget, Linear, 30, 200);
  EXPECT_EQ(budget.Next(), 40);
  // Prompt tokens become four times as expensive.
  const Machine slower = [](int64_t num_decoding, int64_t num_read) {
    return Linear(num_decoding, 4 * num_read);
  };
  Drive(budget, slower, 30, 400);
  EXPECT_EQ(budget.Next(), 10);
  // More sequences decode.
  Drive(budget, Linear, 90, 400);
  EXPECT_EQ(budget.Next(), 100);
}

TEST(PromptBudgetTest, ShortEndsOfPromptsKeepTheBudget) {
  const Machine jitters = [](int64_t num_decoding, int64_t num_read) {
    return Linear(num_decoding, num_read) + (num_read == 1 ? 0.004 : 0);
  };
  PromptBudget budget(1.5, 4, 256);
  for (int i = 0; i < 300; ++i) {
    const int64_t next = budget.Next();
    const int64_t read = i % 2 == 0 ? next : std::min<int64_t>(next, 1);
    budget.Observe(30, read, jitters(30, read));
  }
  EXPECT_EQ(budget.Next(), 40);
}

}  // namespace
}  // namespace rwkvd
