// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <vector>

#include "core/sampling/penalties.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using Row = std::vector<float>;

constexpr int64_t kNumIds = 4;

Row Penalized(PenaltyHistory& history, Row row) {
  history.Apply(absl::MakeSpan(row));
  return row;
}

PenaltyHistory History(const SamplingParams& params,
                       const std::vector<int32_t>& prompt) {
  return PenaltyHistory(params, {.num_ids = kNumIds, .blanks_and_digits = {2}},
                        prompt);
}

TEST(PenaltyHistoryTest, OutputScopeIgnoresPrompt) {
  PenaltyHistory history = History({.presence_penalty = 1}, {0});
  EXPECT_TRUE(history.empty());
  history.AddGenerated(1);
  EXPECT_FALSE(history.empty());
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(5, 4, 5, 5));
}

TEST(PenaltyHistoryTest, PromptScopeIgnoresOutput) {
  SamplingParams params = {.presence_penalty = 1};
  params.penalty_scope = PenaltyScope::kPrompt;
  PenaltyHistory history = History(params, {0, 0});
  history.AddGenerated(1);
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(4, 5, 5, 5));
}

TEST(PenaltyHistoryTest, PromptAndOutputScopeCountsBoth) {
  SamplingParams params = {.frequency_penalty = 1, .penalty_decay = 0.5f};
  params.penalty_scope = PenaltyScope::kPromptAndOutput;
  PenaltyHistory history = History(params, {0, 3});
  history.AddGenerated(0);
  // Token 0 counts 1/4 + 1, token 3 counts 1/2.
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(3.75, 5, 5, 4.5));
}

TEST(PenaltyHistoryTest, EachPenaltyUsesItsOwnWindow) {
  SamplingParams params = {.presence_penalty = 1};
  params.repetition_penalty = 2;
  params.repetition_window = 1;
  params.penalty_window = 2;
  PenaltyHistory history = History(params, {});
  for (const int32_t id : {0, 1, 2}) history.AddGenerated(id);
  // Tokens 1 and 2 are present. The logit of 2 is halved before that.
  EXPECT_THAT(Penalized(history, {8, 8, 8, 8}), ElementsAre(8, 7, 3, 8));
}

TEST(PenaltyHistoryTest, ExemptTokensGetOnlyPresencePenalty) {
  SamplingParams params = {.presence_penalty = 1, .frequency_penalty = 2};
  PenaltyHistory counted = History(params, {});
  params.exempt_blanks_and_digits = true;
  PenaltyHistory exempt = History(params, {});
  for (const int32_t id : {1, 2, 2}) {
    counted.AddGenerated(id);
    exempt.AddGenerated(id);
  }
  EXPECT_THAT(Penalized(counted, {9, 9, 9, 9}), ElementsAre(9, 6, 4, 9));
  EXPECT_THAT(Penalized(exempt, {9, 9, 9, 9}), ElementsAre(9, 6, 8, 9));
}

TEST(PenaltyHistoryTest, SequencesOutsideWindowAreNotPenalized) {
  SamplingParams params;
  params.sequence_repetition = {.flat_penalty = 1,
                                .stacking_penalty = 0.5f,
                                .min_length = 2,
                                .window = 5};
  PenaltyHistory history = History(params, {});
  for (const int32_t id : {1, 2, 3, 1, 2}) history.AddGenerated(id);
  // 1 2 continued with 3, a sequence of 3 tokens: 1 + 3 * 0.5.
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(5, 5, 5, 2.5));
  history.AddGenerated(0);
  history.AddGenerated(1);
  history.AddGenerated(2);  // 1 2 continued with 0; 1 2 3 is out of the window
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(2.5, 5, 5, 5));
}

TEST(PenaltyHistoryTest, IdsBeyondLogitsAreIgnored) {
  SamplingParams params = {.presence_penalty = 1};
  params.penalty_scope = PenaltyScope::kPromptAndOutput;
  PenaltyHistory history = History(params, {99, 1});
  EXPECT_THAT(Penalized(history, {5, 5, 5, 5}), ElementsAre(5, 4, 5, 5));
}

TEST(PenaltyHistoryTest, AddingManyTokensEqualsAddingOneByOne) {
  std::vector<int32_t> ids(1000);
  std::mt19937 random(1);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % kNumIds);
  for (const int32_t window : {0, 3, 64, 2000}) {
    for (const float decay : {1.0f, 0.97f}) {
      SamplingParams params = {.frequency_penalty = 0.1f,
                               .penalty_decay = decay};
      params.repetition_penalty = 1.3f;
      params.repetition_window = params.penalty_window = window;
      params.exempt_blanks_and_digits = true;
      params.sequence_repetition = {.stacking_penalty = 1, .min_length = 2};
      PenaltyHistory at_once = History(params, {});
      PenaltyHistory one_by_one = History(params, {});
      at_once.AddGenerated(ids);
      for (const int32_t id : ids) one_by_one.AddGenerated(id);
      for (int step = 0; step < 5; ++step) {
        const Row row = {5, -3, 2, 7};
        EXPECT_EQ(Penalized(at_once, row), Penalized(one_by_one, row));
        at_once.AddGenerated(step % 2);
        one_by_one.AddGenerated(step % 2);
      }
    }
  }
}

}  // namespace
}  // namespace rwkvd
