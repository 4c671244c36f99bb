// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/save_points.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SavePointsTest, AreMultiplesOfTheIntervalWithinThePrompt) {
  EXPECT_THAT(PlanSavePoints(35, 0, 0, 10), ElementsAre(10, 20, 30));
  // The end of the prompt is stored in any case.
  EXPECT_THAT(PlanSavePoints(30, 0, 0, 10), ElementsAre(10, 20));
  EXPECT_THAT(PlanSavePoints(10, 0, 0, 10), IsEmpty());
  EXPECT_THAT(PlanSavePoints(1, 0, 0, 1), IsEmpty());
}

TEST(SavePointsTest, ComeAfterTheKnownPrefix) {
  EXPECT_THAT(PlanSavePoints(35, 20, 20, 10), ElementsAre(30));
  EXPECT_THAT(PlanSavePoints(35, 29, 29, 10), ElementsAre(30));
  EXPECT_THAT(PlanSavePoints(35, 35, 35, 10), IsEmpty());
}

TEST(SavePointsTest, IntervalGrowsInLongPrompts) {
  EXPECT_THAT(PlanSavePoints(81, 0, 0, 10),
              ElementsAre(10, 20, 30, 40, 50, 60, 70, 80));
  EXPECT_THAT(PlanSavePoints(91, 0, 0, 10), ElementsAre(20, 40, 60, 80));
  EXPECT_LE(PlanSavePoints(int64_t{1} << 30, 0, 0, 1).size(), kMaxSavePoints);
}

TEST(SavePointsTest, IncludeTheRequestedPoint) {
  EXPECT_THAT(PlanSavePoints(100, 0, 0, 0, 70), ElementsAre(70));
  EXPECT_THAT(PlanSavePoints(100, 0, 50, 40, 60), ElementsAre(40, 50, 60, 80));
  EXPECT_THAT(PlanSavePoints(100, 0, 0, 40, 40), ElementsAre(40, 80));
  // Unless it is known, or not within the prompt.
  EXPECT_THAT(PlanSavePoints(100, 70, 70, 0, 70), IsEmpty());
  EXPECT_THAT(PlanSavePoints(100, 0, 0, 0, 100), IsEmpty());
}

TEST(SavePointsTest, IncludeTheBranchPointOfTwoPrompts) {
  EXPECT_THAT(PlanSavePoints(100, 0, 50, 0), ElementsAre(50));
  EXPECT_THAT(PlanSavePoints(100, 0, 50, 40), ElementsAre(40, 50, 80));
  EXPECT_THAT(PlanSavePoints(100, 0, 40, 40), ElementsAre(40, 80));
  // Unless it is the end of the prompt, or would save too few tokens.
  EXPECT_THAT(PlanSavePoints(100, 0, 100, 0), IsEmpty());
  EXPECT_THAT(PlanSavePoints(100, 50, 50 + kMinSharedTokens - 1, 0), IsEmpty());
}

}  // namespace
}  // namespace rwkvd
