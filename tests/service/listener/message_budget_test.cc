// SPDX-License-Identifier: Apache-2.0
#include "service/listener/message_budget.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MessageBudgetTest : public ::testing::Test {
 protected:
  // The share of a connection of `peer`.
  std::unique_ptr<MessageBudget::Share> New(const std::string& peer,
                                            const std::string& name) {
    return MessageBudget::NewShare(budget_, peer,
                                   [this, name] { closed_.push_back(name); });
  }

  const std::shared_ptr<MessageBudget> budget_ =
      std::make_shared<MessageBudget>(
          MessageBudget::Limits{.per_peer = 100, .total = 150});
  std::vector<std::string> closed_;
};

TEST_F(MessageBudgetTest, ConnectionsWithinTheLimitsStay) {
  const auto a = New("a", "a"), b = New("b", "b");
  EXPECT_TRUE(a->Add(100));
  EXPECT_TRUE(b->Add(50));
  EXPECT_TRUE(a->Add(-100));
  EXPECT_TRUE(b->Add(50));
  EXPECT_EQ(budget_->bytes(), 100);
  EXPECT_THAT(closed_, IsEmpty());
}

TEST_F(MessageBudgetTest, ConnectionThatExceedsTheLimitOfAPeerIsClosed) {
  const auto a = New("a", "a"), other = New("a", "other");
  EXPECT_TRUE(other->Add(20));
  EXPECT_FALSE(a->Add(81));
  EXPECT_FALSE(a->Add(-1));
  EXPECT_EQ(budget_->bytes(), 20);
  EXPECT_TRUE(other->Add(80));
  EXPECT_THAT(closed_, IsEmpty());
}

TEST_F(MessageBudgetTest, LargestConnectionOfThePeerIsClosed) {
  const auto large = New("a", "large"), small = New("a", "small");
  const auto other = New("b", "other");
  EXPECT_TRUE(large->Add(90));
  EXPECT_TRUE(small->Add(10));
  EXPECT_TRUE(small->Add(10));
  EXPECT_THAT(closed_, ElementsAre("large"));
  EXPECT_FALSE(large->Add(1));
  EXPECT_EQ(budget_->bytes(), 20);
}

TEST_F(MessageBudgetTest, PeerWithMostLosesItsLargestIfAllHaveTooMuch) {
  const auto one = New("a", "one"), two = New("a", "two");
  const auto large = New("b", "large"), late = New("c", "late");
  EXPECT_TRUE(one->Add(30));
  EXPECT_TRUE(two->Add(40));
  EXPECT_TRUE(large->Add(60));  // more than each of the others, not together
  EXPECT_TRUE(late->Add(21));
  EXPECT_THAT(closed_, ElementsAre("two"));
  EXPECT_EQ(budget_->bytes(), 111);
}

TEST_F(MessageBudgetTest, ConnectionsWithoutAddressAreSeparatePeers) {
  const auto a = New("", "a"), b = New("", "b"), c = New("", "c");
  EXPECT_TRUE(a->Add(60));
  EXPECT_TRUE(b->Add(70));
  EXPECT_TRUE(c->Add(21));
  EXPECT_THAT(closed_, ElementsAre("b"));
  EXPECT_FALSE(c->Add(90));
}

TEST_F(MessageBudgetTest, ClosedConnectionFreesItsShare) {
  auto a = New("a", "a");
  EXPECT_TRUE(a->Add(100));
  a = nullptr;
  EXPECT_EQ(budget_->bytes(), 0);
  const auto b = New("a", "b");
  EXPECT_TRUE(b->Add(100));
}

TEST(MessageBudgetLimitsTest, LeaveMemoryForTheRestOfGrpc) {
  const auto limits = MessageBudget::Limits::Derive(256 << 20);
  EXPECT_EQ(limits.per_peer, 128 << 20);
  EXPECT_EQ(limits.total, 160 << 20);
}

}  // namespace
}  // namespace rwkvd
