// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/scheduler.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr StepDemand kDecode = {.tokens = 1, .decoding = true};

StepDemand Prefill(int64_t tokens) { return {.tokens = tokens}; }
StepDemand ScoreDemand(int64_t tokens) {
  return {.tokens = tokens, .logits_rows = tokens};
}

// More than the tokens of any step.
constexpr int64_t kNoLimit = 1 << 20;

// Allocates a step to demands that arrive together.
std::vector<int64_t> Allocate(Scheduler scheduler,
                              std::vector<StepDemand> demands,
                              int64_t max_prefill = kNoLimit) {
  for (size_t i = 0; i < demands.size(); ++i) demands[i].prompt = i + 1;
  const absl::Span<const int64_t> allocations =
      scheduler.Allocate(demands, max_prefill);
  return {allocations.begin(), allocations.end()};
}

TEST(SchedulerTest, NoDemandsGetNoAllocations) {
  EXPECT_THAT(Allocate(Scheduler(16, 8), {}), IsEmpty());
}

TEST(SchedulerTest, SinglePrefillGetsTheWholeBudget) {
  EXPECT_THAT(Allocate(Scheduler(16, 8), {Prefill(100)}), ElementsAre(16));
  EXPECT_THAT(Allocate(Scheduler(16, 8), {Prefill(5)}), ElementsAre(5));
}

TEST(SchedulerTest, DecodesComeFirstInAnyOrder) {
  EXPECT_THAT(Allocate(Scheduler(16, 8),
                       {Prefill(100), kDecode, Prefill(100), kDecode}),
              ElementsAre(14, 1, 0, 1));
}

TEST(SchedulerTest, ShortestPromptComesFirstAndLongerOnesGetTheRest) {
  EXPECT_THAT(
      Allocate(Scheduler(32, 8), {Prefill(1000), Prefill(3), Prefill(2)}),
      ElementsAre(27, 3, 2));
  EXPECT_THAT(
      Allocate(Scheduler(32, 8), {Prefill(1000), Prefill(30), Prefill(2)}),
      ElementsAre(0, 30, 2));
}

TEST(SchedulerTest, FirstOfEqualPromptsComesFirst) {
  EXPECT_THAT(
      Allocate(Scheduler(61, 8), {Prefill(50), Prefill(50), Prefill(50)}),
      ElementsAre(50, 11, 0));
}

TEST(SchedulerTest, EmptyDemandsGetNothing) {
  EXPECT_THAT(
      Allocate(Scheduler(16, 8), {StepDemand{.tokens = 0, .decoding = true},
                                  Prefill(0), Prefill(20)}),
      ElementsAre(0, 0, 16));
}

TEST(SchedulerTest, MaxPrefillLimitsPrefillButNotDecodes) {
  const std::vector<StepDemand> demands = {Prefill(100), kDecode,
                                           ScoreDemand(9), Prefill(2)};
  EXPECT_THAT(Allocate(Scheduler(32, 16), demands, 8), ElementsAre(0, 1, 6, 2));
  EXPECT_THAT(Allocate(Scheduler(32, 16), demands, 100),
              ElementsAre(20, 1, 9, 2));
}

TEST(SchedulerTest, PrefillsGetAsManyTokensAsTheyAreWithAnyMaxPrefill) {
  EXPECT_THAT(Allocate(Scheduler(32, 8),
                       {Prefill(9), Prefill(9), kDecode, Prefill(9)}, 1),
              ElementsAre(3, 0, 1, 0));
}

TEST(SchedulerTest, MaxPrefillOfZeroPausesPrefill) {
  EXPECT_THAT(
      Allocate(Scheduler(32, 8), {Prefill(9), kDecode, ScoreDemand(9)}, 0),
      ElementsAre(0, 1, 0));
}

TEST(SchedulerTest, ShortestScoreGetsTheFreeRowsOfLogits) {
  EXPECT_THAT(Allocate(Scheduler(100, 8), {ScoreDemand(50)}), ElementsAre(8));
  EXPECT_THAT(
      Allocate(Scheduler(100, 8), {kDecode, ScoreDemand(50), Prefill(40)}),
      ElementsAre(1, 6, 40));
  EXPECT_THAT(
      Allocate(Scheduler(100, 8), {ScoreDemand(50), ScoreDemand(2), kDecode}),
      ElementsAre(5, 2, 1));
}

TEST(SchedulerTest, TokensWithoutLogitsIgnoreTheLimitOfRows) {
  const StepDemand mixed = {.tokens = 60, .logits_rows = 20};
  EXPECT_THAT(Allocate(Scheduler(100, 8), {mixed}), ElementsAre(48));
  EXPECT_THAT(Allocate(Scheduler(100, 8), {mixed, ScoreDemand(9)}),
              ElementsAre(41, 7));
}

TEST(SchedulerTest, ScoresAndPromptsHaveOneOrder) {
  EXPECT_THAT(Allocate(Scheduler(70, 64), {Prefill(50), ScoreDemand(40)}),
              ElementsAre(30, 40));
  EXPECT_THAT(Allocate(Scheduler(70, 64), {Prefill(50), ScoreDemand(60)}),
              ElementsAre(50, 20));
}

TEST(SchedulerTest, RandomDemandsGetValidAllocations) {
  std::mt19937 random(6);
  for (int round = 0; round < 20000; ++round) {
    const int64_t num_demands = random() % 12;
    const int64_t max_rows = std::max<int64_t>(num_demands, 1) + random() % 12;
    const int64_t max_tokens = num_demands + 1 + random() % 40;
    std::vector<StepDemand> demands;
    for (int i = 0; i < num_demands; ++i) {
      const int64_t tokens = random() % 60;
      const StepDemand mixed = {
          .tokens = tokens,
          .logits_rows = tokens == 0 ? 0 : int64_t(random() % tokens)};
      const StepDemand kinds[] = {kDecode, Prefill(tokens), ScoreDemand(tokens),
                                  mixed};
      demands.push_back(kinds[random() % 4]);
    }
    const std::vector<int64_t> allocations =
        Allocate(Scheduler(max_tokens, max_rows), demands);

    ASSERT_EQ(allocations.size(), demands.size());
    int64_t rows = 0;
    bool rows_bind = false;
    bool all_served = true;
    for (size_t i = 0; i < allocations.size(); ++i) {
      const StepDemand& demand = demands[i];
      ASSERT_LE(allocations[i], demand.tokens);
      ASSERT_GE(allocations[i], 0);
      if (demand.decoding) {
        ASSERT_EQ(allocations[i], demand.tokens);
      }
      // Tokens without logits come first.
      const int64_t quiet = demand.tokens - demand.logits_rows;
      rows += std::max<int64_t>(allocations[i] - quiet, 1);
      rows_bind |= demand.logits_rows > 1 && allocations[i] < demand.tokens;
      all_served &= allocations[i] == demand.tokens;
    }
    const int64_t tokens =
        std::accumulate(allocations.begin(), allocations.end(), 0);
    ASSERT_LE(tokens, max_tokens);
    ASSERT_LE(rows, std::max<int64_t>(max_rows, 1));
    // No usable token is left over.
    if (!all_served && !rows_bind) {
      ASSERT_EQ(tokens, max_tokens);
    }
  }
}

TEST(SchedulerTest, RandomPromptsAreServedInTheOrderOfTheirSizes) {
  std::mt19937 random(7);
  for (int round = 0; round < 5000; ++round) {
    std::vector<StepDemand> demands(1 + random() % 10);
    for (StepDemand& demand : demands) demand = Prefill(1 + random() % 100);
    const std::vector<int64_t> allocations =
        Allocate(Scheduler(demands.size() + 1 + random() % 100, 16), demands);
    for (size_t i = 0; i < allocations.size(); ++i) {
      for (size_t j = 0; j < allocations.size(); ++j) {
        if (demands[i].tokens < demands[j].tokens && allocations[j] > 0) {
          ASSERT_EQ(allocations[i], demands[i].tokens);
        }
      }
    }
  }
}

// Names of flows: only their addresses matter.
constexpr char kFlows[3] = {};

StepDemand PrefillOf(int flow, int64_t tokens, int32_t weight = 1) {
  return {.tokens = tokens, .flow = &kFlows[flow], .weight = weight};
}

TEST(SchedulerTest, FlowsShareAStepHoweverManySequencesTheyHave) {
  std::vector<StepDemand> demands(48, PrefillOf(0, 1000));
  demands.push_back(PrefillOf(1, 1000));
  const auto allocations = Allocate(Scheduler(256, 256), demands);
  EXPECT_EQ(allocations.back(), 128);
  EXPECT_EQ(std::accumulate(allocations.begin(), allocations.end(), 0), 256);
}

TEST(SchedulerTest, DecodingRowsCountForTheirFlow) {
  std::vector<StepDemand> demands(
      40, {.tokens = 1, .decoding = true, .flow = &kFlows[0]});
  demands.push_back(PrefillOf(0, 1000));
  demands.push_back(PrefillOf(1, 1000));
  const auto allocations = Allocate(Scheduler(256, 256), demands);
  EXPECT_EQ(allocations[40], 88);
  EXPECT_EQ(allocations[41], 128);
}

TEST(SchedulerTest, FlowsShareByWeight) {
  EXPECT_THAT(Allocate(Scheduler(100, 100),
                       {PrefillOf(0, 1000, 3), PrefillOf(1, 1000)}),
              ElementsAre(75, 25));
}

TEST(SchedulerTest, FlowGetsWhatOthersLeave) {
  EXPECT_THAT(Allocate(Scheduler(100, 100),
                       {PrefillOf(0, 1000), PrefillOf(1, 10), PrefillOf(2, 5)}),
              ElementsAre(85, 10, 5));
}

TEST(SchedulerTest, FlowsShareTheRowsOfLogitsByWeight) {
  std::vector<StepDemand> demands(4, ScoreDemand(100));
  for (StepDemand& demand : demands) demand.flow = &kFlows[0];
  demands.push_back(ScoreDemand(200));
  demands.back().flow = &kFlows[1];
  demands.back().weight = 3;
  // Each has one row of its own; the flows share the other 40.
  EXPECT_THAT(Allocate(Scheduler(1000, 45), demands),
              ElementsAre(11, 1, 1, 1, 31));
}

TEST(SchedulerTest, FlowBeyondItsShareGetsARowForItsPrompts) {
  std::vector<StepDemand> demands(
      7, {.tokens = 1, .decoding = true, .flow = &kFlows[0]});
  demands.push_back(PrefillOf(0, 1000));
  demands.push_back(PrefillOf(0, 1000));
  demands.push_back(PrefillOf(1, 1000));
  const auto allocations = Allocate(Scheduler(14, 14), demands);
  EXPECT_EQ(allocations[7], 1);
  EXPECT_EQ(allocations[8], 0);
  EXPECT_EQ(allocations[9], 6);
}

TEST(SchedulerTest, KnowsWhichSequencesDecodeEarly) {
  Scheduler scheduler(20, 20);
  const StepDemand decode = {.tokens = 1, .decoding = true, .prompt = 1};
  std::vector<StepDemand> demands = {{.tokens = 16, .prompt = 1},
                                     {.tokens = 100, .prompt = 2}};
  EXPECT_FALSE(scheduler.DecodesInEvenSharing(demands));
  // Even sharing has 6 tokens of the first left.
  EXPECT_EQ(scheduler.Allocate(demands, kNoLimit)[0], 16);
  demands = {decode, {.tokens = 96, .prompt = 2}};
  EXPECT_FALSE(scheduler.DecodesInEvenSharing(demands));
  scheduler.Allocate(demands, 10);
  demands[1].tokens = 86;
  EXPECT_FALSE(scheduler.DecodesInEvenSharing(demands));
  scheduler.Allocate(demands, 2);
  EXPECT_TRUE(scheduler.DecodesInEvenSharing(demands));
  // A sequence without a forward pass does not count.
  demands[0].tokens = 0;
  EXPECT_FALSE(scheduler.DecodesInEvenSharing(demands));
}

TEST(SchedulerTest, MinimumOfPrefillIsATokenForEachPromptOfEvenSharing) {
  Scheduler scheduler(100, 100);
  std::vector<StepDemand> demands;
  for (uint64_t i = 1; i <= 8; ++i) {
    demands.push_back({.tokens = 10, .prompt = i});
  }
  // Two samples wait for the first prompt.
  demands.push_back({.prompt = 1});
  demands.push_back({.prompt = 1});
  const auto sum = [](absl::Span<const int64_t> allocations) {
    return std::accumulate(allocations.begin(), allocations.end(), int64_t{0});
  };
  EXPECT_EQ(sum(scheduler.Allocate(demands, 1)), 8);
  demands[0].tokens = 2;
  EXPECT_EQ(sum(scheduler.Allocate(demands, 1)), 8);
  // The first prompt is complete, but with even sharing it has 8 tokens left.
  for (const int i : {0, 8, 9}) {
    demands[i] = {.tokens = 1, .decoding = true, .prompt = 1};
  }
  demands[1].tokens = 4;
  EXPECT_EQ(sum(scheduler.Allocate(demands, 1)), 3 + 8);
}

TEST(SchedulerTest, DecodeOfAnUnknownPromptIsNotEarly) {
  EXPECT_TRUE(Scheduler(20, 20).DecodesInEvenSharing({kDecode}));
}

}  // namespace
}  // namespace rwkvd
