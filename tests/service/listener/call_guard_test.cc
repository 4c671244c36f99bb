// SPDX-License-Identifier: Apache-2.0
#include "service/listener/call_guard.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CallGuardTest : public ::testing::Test {
 protected:
  CallGuardTest()
      : guard_({.per_connection = 200, .total = 1000},
               {.count =
                    [this] {
                      int64_t total = 0;
                      for (const auto& c : connections_) total += c.num_calls;
                      return total + missed_ends_;
                    },
                .count_by_connection =
                    [this] {
                      ++num_inspections_;
                      return connections_;
                    },
                .close =
                    [this](const ConnectionCalls& connection) {
                      if (connection.endpoint.empty()) return false;
                      closed_.push_back(connection.endpoint);
                      return true;
                    },
                .allow = [this](int64_t calls) { allowed_ = calls; }}) {}

  std::vector<ConnectionCalls> connections_;
  std::vector<std::string> closed_;
  int num_inspections_ = 0;
  int64_t missed_ends_ = 0;
  int64_t allowed_ = 0;
  CallGuard guard_;
};

TEST_F(CallGuardTest, ClosesConnectionsAboveTheirLimit) {
  connections_ = {{"a", 200}, {"b", 201}, {"c", 300}};
  guard_.Check(absl::ZeroDuration());
  EXPECT_THAT(closed_, ElementsAre("c", "b"));
}

TEST_F(CallGuardTest, ClosesTheLargestConnectionsNearTheTotal) {
  connections_ = {{"a", 150}, {"b", 199}, {"c", 190}, {"d", 140}, {"e", 130}};
  guard_.Check(absl::ZeroDuration());  // 809 are more than three quarters
  EXPECT_THAT(closed_, ElementsAre("b"));
  EXPECT_EQ(allowed_, 191);
}

TEST_F(CallGuardTest, ContinuesWithTheNextIfAConnectionCannotBeClosed) {
  connections_ = {{"", 700}, {"a", 150}, {"b", 100}};
  guard_.Check(absl::ZeroDuration());
  EXPECT_THAT(closed_, ElementsAre("a", "b"));
  EXPECT_EQ(allowed_, 50);
}

TEST_F(CallGuardTest, InspectsConnectionsOnlyIfOneCouldBeAboveItsLimit) {
  connections_ = {{"a", 100}, {"b", 100}};
  for (int i = 0; i < 5; ++i) guard_.Check(absl::Seconds(10 * i));
  EXPECT_EQ(num_inspections_, 0);
}

TEST_F(CallGuardTest, InspectsSeldomUnlessManyCallsAreNew) {
  connections_ = {{"a", 200}, {"b", 200}};
  guard_.Check(absl::Seconds(10));
  EXPECT_EQ(num_inspections_, 1);
  guard_.Check(absl::Seconds(10.9));
  EXPECT_EQ(num_inspections_, 1);
  guard_.Check(absl::Seconds(11));
  EXPECT_EQ(num_inspections_, 2);
  connections_.push_back({"c", 300});
  guard_.Check(absl::Seconds(11.1));
  EXPECT_EQ(num_inspections_, 3);
  EXPECT_THAT(closed_, ElementsAre("c"));
}

TEST_F(CallGuardTest, CountsNewCallsFromTheLowestNumber) {
  connections_ = {{"a", 200}, {"b", 200}, {"c", 200}};
  guard_.Check(absl::Seconds(10));
  connections_ = {{"a", 200}, {"b", 50}};
  guard_.Check(absl::Seconds(10.1));
  connections_ = {{"a", 200}, {"b", 306}};
  guard_.Check(absl::Seconds(10.2));
  EXPECT_THAT(closed_, ElementsAre("b"));
}

TEST_F(CallGuardTest, ClosesNothingWithinTheLimits) {
  connections_ = {{"a", 200}, {"b", 200}, {"c", 200}, {"d", 150}};
  guard_.Check(absl::ZeroDuration());
  EXPECT_EQ(num_inspections_, 1);
  EXPECT_THAT(closed_, IsEmpty());
  EXPECT_EQ(allowed_, 250);
}

// Whatever gRPC has lost count of during an attack, clients are served after
// it.
TEST_F(CallGuardTest, CallsWhoseEndWasMissedAreNotOpen) {
  connections_ = {{"a", 10}, {"b", 20}};
  missed_ends_ = 5000;
  guard_.Check(absl::ZeroDuration());
  EXPECT_THAT(closed_, IsEmpty());
  EXPECT_EQ(allowed_, 970);
  missed_ends_ = 5600;
  guard_.Check(absl::Seconds(1));
  EXPECT_THAT(closed_, IsEmpty());
  EXPECT_EQ(allowed_, 970);
  connections_ = {{"a", 100}, {"b", 250}};
  guard_.Check(absl::Seconds(2));
  EXPECT_THAT(closed_, ElementsAre("b"));
  EXPECT_EQ(allowed_, 650);
}

TEST_F(CallGuardTest, CallsWhoseEndIsLateAreCountedAgain) {
  connections_ = {{"a", 10}};
  missed_ends_ = 5000;
  guard_.Check(absl::Seconds(0));
  missed_ends_ = 40;
  guard_.Check(absl::Seconds(1));
  EXPECT_EQ(allowed_, 1000);  // at most 50 calls are thought to have ended
  guard_.Check(absl::Seconds(10));
  EXPECT_EQ(allowed_, 990);
}

TEST(CallBudgetTest, RefusesMoreCallsThanAreLeft) {
  CallBudget budget;
  EXPECT_TRUE(budget.Take(int64_t{1} << 40));
  budget.Set(3);
  EXPECT_TRUE(budget.Take(3));
  EXPECT_FALSE(budget.Take(1));
  budget.Set(-5);
  EXPECT_FALSE(budget.Take(1));
}

TEST(CallGuardLimitsTest, FollowFromMemoryStreamsAndRequests) {
  const auto limits = CallGuard::Derive(int64_t{64} << 20, 100, 320);
  EXPECT_EQ(limits.per_connection, 200);
  EXPECT_EQ(limits.total, 1638);  // of 10 KiB, in a quarter
  EXPECT_EQ(CallGuard::Derive(0, 7, 10000).per_connection, 200);
  EXPECT_EQ(CallGuard::Derive(0, 7, 10000).total, 10256);
  EXPECT_EQ(CallGuard::Derive(0, 1000, 1).per_connection, 2000);
}

}  // namespace
}  // namespace rwkvd
