// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prompt_policy.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

// A policy, and the prompts of a flow, by number.
class PromptPolicyTest : public ::testing::Test {
 protected:
  static constexpr int64_t kManyLogits = 1 << 20;

  StepDemand& Add(int64_t tokens) {
    demands_.push_back({.tokens = tokens, .prompt = demands_.size() + 1});
    return demands_.back();
  }

  std::vector<int64_t> Step(int64_t tokens, int64_t more_logits = kManyLogits) {
    std::vector<int64_t> allocations(demands_.size());
    std::vector<int64_t> prompts;
    for (size_t i = 0; i < demands_.size(); ++i) {
      if (demands_[i].prefills()) prompts.push_back(i);
    }
    policy_.BeginStep(demands_);
    policy_.Divide({tokens, more_logits}, prompts, demands_,
                   absl::MakeSpan(allocations));
    for (size_t i = 0; i < demands_.size(); ++i) {
      demands_[i].tokens -= allocations[i];
    }
    return allocations;
  }

  // Prompt 0 has got nothing yet, and prompt 1 everything.
  void AddPromptThatIsBehind() {
    Add(100);
    Add(30);
    EXPECT_THAT(Step(30), ElementsAre(0, 30));
  }

  PromptPolicy policy_;
  std::vector<StepDemand> demands_;
};

TEST_F(PromptPolicyTest, PromptsThatArriveTogetherAreServedByTheirSize) {
  Add(30);
  Add(10);
  Add(20);
  EXPECT_THAT(Step(16), ElementsAre(0, 10, 6));
  EXPECT_THAT(Step(16), ElementsAre(2, 0, 14));
  EXPECT_THAT(Step(16), ElementsAre(16, 0, 0));
}

TEST_F(PromptPolicyTest, EqualPromptsAreServedOneAfterTheOther) {
  for (int i = 0; i < 3; ++i) Add(20);
  EXPECT_THAT(Step(16), ElementsAre(16, 0, 0));
  EXPECT_THAT(Step(16), ElementsAre(4, 12, 0));
  EXPECT_THAT(Step(16), ElementsAre(0, 8, 8));
}

TEST_F(PromptPolicyTest, LastTokensOfALongPromptDoNotDelayAShortOne) {
  Add(100);
  Step(90);
  Add(16);
  EXPECT_THAT(Step(16), ElementsAre(0, 16));
}

TEST_F(PromptPolicyTest, RowsThatTheFirstCannotUseGoToTheNext) {
  Add(100);
  Step(16);
  Add(3);
  EXPECT_THAT(Step(16), ElementsAre(13, 3));
}

TEST_F(PromptPolicyTest, OlderPromptThatIsBehindGetsHalfOfTheRows) {
  AddPromptThatIsBehind();
  Add(90);
  EXPECT_THAT(Step(20), ElementsAre(10, 0, 10));
}

TEST_F(PromptPolicyTest, PromptAsOldAsTheOneBehindIsNotDelayed) {
  Add(100);
  Add(30);
  EXPECT_THAT(Step(26), ElementsAre(0, 26));
  Add(20);
  // The second takes its last tokens, and the others share the rest.
  EXPECT_THAT(Step(16), ElementsAre(6, 4, 6));
}

TEST_F(PromptPolicyTest, OddRowIsForTheFirst) {
  AddPromptThatIsBehind();
  Add(90);
  EXPECT_THAT(Step(9), ElementsAre(4, 0, 5));
}

TEST_F(PromptPolicyTest, PromptIsBehindUntilItHasHalfOfItsFairShare) {
  AddPromptThatIsBehind();
  Add(90);
  // Its fair share until now is 15, and grows by 2 in each step.
  for (int64_t got = 0; got <= 14; got += 2) EXPECT_EQ(Step(4)[0], 2) << got;
  EXPECT_EQ(Step(4)[0], 0);  // it has 16 of 31
  EXPECT_EQ(Step(4)[0], 2);  // it has 16 of 33
}

TEST_F(PromptPolicyTest, PromptThatIsNotBehindWaits) {
  Add(100);
  Step(10);
  Add(40);
  EXPECT_THAT(Step(20), ElementsAre(0, 20));
  EXPECT_THAT(Step(20), ElementsAre(0, 20));  // it has 10 of 20
}

TEST_F(PromptPolicyTest, YoungerPromptThatIsBehindWaits) {
  Add(50);
  Step(10);
  Add(100);
  for (int i = 0; i < 4; ++i) EXPECT_THAT(Step(10), ElementsAre(10, 0));
}

TEST_F(PromptPolicyTest, NearDeadlineComesFirst) {
  Add(10);
  Add(50).until_deadline = 199;
  Add(50).until_deadline = 198;
  EXPECT_THAT(Step(60), ElementsAre(0, 10, 50));
}

TEST_F(PromptPolicyTest, DistantDeadlineDoesNotCount) {
  Add(20);
  Add(50).until_deadline = 50 * PromptPolicy::kNear;
  EXPECT_THAT(Step(10), ElementsAre(10, 0));
  --demands_[1].until_deadline;
  EXPECT_THAT(Step(10), ElementsAre(0, 10));
}

TEST_F(PromptPolicyTest, DeadlineThatCannotBeMetDoesNotCount) {
  Add(20);
  Add(50).until_deadline = 49;
  EXPECT_THAT(Step(10), ElementsAre(10, 0));
  ++demands_[1].until_deadline;
  EXPECT_THAT(Step(10), ElementsAre(0, 10));
}

TEST_F(PromptPolicyTest, NearDeadlineLeavesHalfToAPromptThatIsBehind) {
  AddPromptThatIsBehind();
  Add(90).until_deadline = 100;
  EXPECT_THAT(Step(20), ElementsAre(10, 0, 10));
}

TEST_F(PromptPolicyTest, LogitsRowsAreGrantedInTheSameOrder) {
  Add(40).logits_rows = 40;
  Add(20).logits_rows = 20;
  Add(50).logits_rows = 10;
  // One row each, and 24 more: 19 for the second, 5 for the first.
  EXPECT_THAT(Step(200, 24), ElementsAre(6, 20, 41));
}

TEST_F(PromptPolicyTest, AllRowsAreUsedWhileAPromptCanUseThem) {
  for (int64_t i = 1; i <= 20; ++i) Add(i * 7 % 40 + 1);
  int64_t left = 0;
  for (const StepDemand& demand : demands_) left += demand.tokens;
  while (left > 0) {
    const std::vector<int64_t> allocations = Step(17);
    const int64_t sum =
        std::accumulate(allocations.begin(), allocations.end(), int64_t{0});
    ASSERT_EQ(sum, std::min<int64_t>(17, left));
    left -= sum;
  }
}

}  // namespace
}  // namespace rwkvd
