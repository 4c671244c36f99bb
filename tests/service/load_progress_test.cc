// SPDX-License-Identifier: Apache-2.0
#include "service/load_progress.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LoadProgressTest : public ::testing::Test {
 protected:
  absl::Time now_ = absl::UnixEpoch();
  std::vector<std::string> lines_;
  LoadProgress progress_{
      [this] { return now_; },
      [this](absl::string_view line) { lines_.emplace_back(line); }};
};

TEST_F(LoadProgressTest, RatioIsTheShareOfTheBytes) {
  EXPECT_EQ(progress_.ratio(), 0);
  progress_.Update(1, 8);
  EXPECT_EQ(progress_.ratio(), 0.125);
  progress_.Update(8, 8);
  EXPECT_EQ(progress_.ratio(), 1);
}

TEST_F(LoadProgressTest, RatioOfNoBytesIsOne) {
  progress_.Update(0, 0);
  EXPECT_EQ(progress_.ratio(), 1);
}

TEST_F(LoadProgressTest, FastLoadLogsNothing) {
  for (int i = 0; i <= 1000; ++i) progress_.Update(i, 1000);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(LoadProgressTest, EveryTenthIsLogged) {
  constexpr int64_t kMB = 1'000'000;
  now_ += absl::Hours(1);  // before Begin
  progress_.Begin();
  for (int i = 1; i <= 100; ++i) {
    now_ += absl::Milliseconds(500);
    progress_.Update(i * kMB, 100 * kMB);
  }
  EXPECT_EQ(lines_.size(), 10);
  EXPECT_EQ(lines_[2], "reading the model: 30 %, 30 of 100 MB, 2 MB/s");
}

TEST_F(LoadProgressTest, LinesSayWhatIsDone) {
  progress_.Begin("verifying the model");
  now_ += absl::Seconds(2);
  progress_.Update(500'000, 1'000'000);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("verifying the model: 50 %")));
}

TEST_F(LoadProgressTest, LinesAreAtLeastTwoSecondsApart) {
  for (int i = 1; i <= 100; ++i) {
    now_ += absl::Milliseconds(50);
    progress_.Update(i, 100);
  }
  EXPECT_THAT(lines_, ElementsAre(HasSubstr(" 40 %"), HasSubstr(" 80 %")));
}

TEST_F(LoadProgressTest, SlowLoadIsLoggedEveryTwentySeconds) {
  for (int i = 0; i < 50; ++i) {
    now_ += absl::Seconds(1);
    progress_.Update(1, 1000);
  }
  EXPECT_EQ(lines_.size(), 2);
}

}  // namespace
}  // namespace rwkvd
