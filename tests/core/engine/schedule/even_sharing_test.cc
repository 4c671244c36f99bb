// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/even_sharing.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

// A simulation of even sharing, and the prompts that really run, by number:
// prompt 0 has the id 1.
class EvenSharingTest : public ::testing::Test {
 protected:
  void Add(int64_t tokens, const void* flow = nullptr) {
    demands_.push_back({.tokens = tokens,
                        .flow = flow,
                        .prompt = demands_.size() + 1,
                        .remaining = tokens});
  }

  // Runs a step that really allocates `allocations`.
  void Step(std::vector<int64_t> allocations) {
    allocations.resize(demands_.size());
    even_sharing_.BeginStep(demands_);
    even_sharing_.EndStep(demands_, allocations);
    for (size_t i = 0; i < demands_.size(); ++i) {
      demands_[i].tokens -= allocations[i];
      demands_[i].remaining = demands_[i].tokens;
    }
  }

  std::vector<int64_t> Left() const {
    std::vector<int64_t> left;
    for (const StepDemand& demand : demands_) {
      left.push_back(even_sharing_.Left(demand.prompt));
    }
    return left;
  }

  EvenSharing even_sharing_;
  std::vector<StepDemand> demands_;
};

TEST_F(EvenSharingTest, DividesTheRowsOfAStepEvenly) {
  for (int i = 0; i < 3; ++i) Add(100);
  Step({30});
  EXPECT_THAT(Left(), ElementsAre(90, 90, 90));
}

TEST_F(EvenSharingTest, RemaindersGoToTheFirstButEqualOut) {
  for (int i = 0; i < 3; ++i) Add(100);
  Step({4});
  EXPECT_THAT(Left(), ElementsAre(98, 99, 99));
  Step({4});
  EXPECT_THAT(Left(), ElementsAre(97, 97, 98));
  Step({4});
  EXPECT_THAT(Left(), ElementsAre(96, 96, 96));
}

TEST_F(EvenSharingTest, GivesToOthersWhatShortPromptsLeave) {
  Add(100);
  Add(6);
  Add(100);
  Step({30});
  EXPECT_THAT(Left(), ElementsAre(88, 0, 88));
}

TEST_F(EvenSharingTest, CompletesTheLastPromptInTheSameStep) {
  Add(50);
  Add(70);
  Step({40});
  Add(10);
  Step({10, 20});
  Step({0, 20, 10});
  EXPECT_THAT(Left(), ElementsAre(5, 25, 0));
  Step({0, 30});
  EXPECT_THAT(Left(), ElementsAre(0, 0, 0));
}

TEST_F(EvenSharingTest, FlowsHaveTheirOwnRows) {
  const char flows[2] = {};
  Add(100, &flows[0]);
  Add(100, &flows[0]);
  Add(100, &flows[1]);
  Step({40, 0, 10});
  EXPECT_THAT(Left(), ElementsAre(80, 80, 90));
}

TEST_F(EvenSharingTest, StillDividesRowsWithAPromptThatIsReallyComplete) {
  Add(20);
  Add(100);
  Step({20});
  demands_.erase(demands_.begin());  // its request has ended
  Step({10});
  EXPECT_EQ(even_sharing_.Left(1), 5);
  EXPECT_THAT(Left(), ElementsAre(85));
}

TEST_F(EvenSharingTest, ForgetsPromptsThatEndBeforeTheyAreComplete) {
  Add(100);
  Add(100);
  Step({20});
  demands_.erase(demands_.begin());
  Step({10});
  EXPECT_EQ(even_sharing_.Left(1), 0);
  EXPECT_THAT(Left(), ElementsAre(80));
}

TEST_F(EvenSharingTest, ForgetsCompletePromptsOfAFlowWithoutOthers) {
  Add(20);
  Add(100);
  Step({20});
  demands_.pop_back();
  EXPECT_THAT(Left(), ElementsAre(10));
  Step({});
  EXPECT_THAT(Left(), ElementsAre(0));
}

TEST_F(EvenSharingTest, PromptThatIsPrefilledAgainHasItsTokensAgain) {
  Add(20);
  Add(100);
  Step({20});
  EXPECT_THAT(Left(), ElementsAre(10, 90));
  demands_[0].tokens = demands_[0].remaining = 20;
  Step({20});
  EXPECT_THAT(Left(), ElementsAre(20, 80));
}

TEST_F(EvenSharingTest, RemembersABoundedNumberOfCompletePrompts) {
  constexpr size_t kForgotten = 10;
  Add(1 << 20);
  std::vector<int64_t> allocations = {0};
  while (demands_.size() <= EvenSharing::kMaxCompletePrompts + kForgotten) {
    Add(10'000);
    allocations.push_back(10'000);
  }
  Step(allocations);
  const std::vector<int64_t> left = Left();
  for (size_t i = 1; i < left.size(); ++i) {
    EXPECT_EQ(left[i] > 0, i > kForgotten) << i;
  }
}

}  // namespace
}  // namespace rwkvd
