// SPDX-License-Identifier: Apache-2.0
#include "core/base/byte_budget.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ByteBudgetTest, ReservesUpToTheLimit) {
  ByteBudget budget(10);
  std::optional<ByteBudget::Reservation> first = budget.Reserve(6);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(budget.Reserve(5).has_value());
  std::optional<ByteBudget::Reservation> second = budget.Reserve(4);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(budget.used(), 10);
  first.reset();
  EXPECT_EQ(budget.used(), 4);
}

TEST(ByteBudgetTest, RefusesMoreThanAnIntegerHolds) {
  ByteBudget budget(10);
  const auto held = budget.Reserve(1);
  EXPECT_FALSE(budget.Reserve(INT64_MAX).has_value());
}

TEST(ByteBudgetTest, ResizeKeepsTheOldSizeIfTheNewOneDoesNotFit) {
  ByteBudget budget(10);
  std::optional<ByteBudget::Reservation> held = budget.Reserve(6);
  ASSERT_TRUE(held.has_value());
  EXPECT_FALSE(held->Resize(11));
  EXPECT_EQ(held->bytes(), 6);
  EXPECT_TRUE(held->Resize(10));
  EXPECT_TRUE(held->Resize(2));
  EXPECT_EQ(budget.used(), 2);
}

TEST(ByteBudgetTest, MovedReservationReturnsItsBytesOnce) {
  ByteBudget budget(10);
  {
    ByteBudget::Reservation outer;
    EXPECT_FALSE(outer.Resize(1));
    outer = *budget.Reserve(3);
    ByteBudget::Reservation other = std::move(outer);
    EXPECT_EQ(other.bytes(), 3);
    EXPECT_EQ(outer.bytes(), 0);
  }
  EXPECT_EQ(budget.used(), 0);
}

TEST(ByteBudgetTest, BytesMoveBetweenReservations) {
  ByteBudget budget(10);
  ByteBudget::Reservation all;
  all.Absorb(*budget.Reserve(3));
  all.Absorb(*budget.Reserve(4));
  EXPECT_EQ(all.bytes(), 7);
  {
    const ByteBudget::Reservation part = all.Split(5);
    EXPECT_EQ(part.bytes(), 5);
    EXPECT_EQ(all.bytes(), 2);
    EXPECT_EQ(budget.used(), 7);
  }
  EXPECT_EQ(budget.used(), 2);
}

TEST(ByteBudgetTest, ShareLimitsItsReservationsOnly) {
  ByteBudget budget(10);
  ByteBudget share(4);
  std::optional<ByteBudget::Reservation> held = budget.Reserve(3, &share);
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(held->share(), &share);
  EXPECT_EQ(budget.used(), 3);
  EXPECT_EQ(share.used(), 3);
  EXPECT_FALSE(held->Resize(5));
  EXPECT_FALSE(budget.Reserve(2, &share).has_value());
  EXPECT_EQ(budget.used(), 3) << "nothing stays reserved in the other one";
  EXPECT_TRUE(budget.Reserve(7).has_value());
  held.reset();
  EXPECT_EQ(budget.used(), 0);
  EXPECT_EQ(share.used(), 0);
}

TEST(ByteBudgetTest, NothingStaysInTheShareIfTheBudgetIsExhausted) {
  ByteBudget budget(10);
  ByteBudget share(100);
  const auto others = budget.Reserve(8);
  EXPECT_FALSE(budget.Reserve(3, &share).has_value());
  EXPECT_EQ(share.used(), 0);
  EXPECT_TRUE(share.HasRoomFor(100));
  EXPECT_FALSE(budget.HasRoomFor(3));
}

TEST(ByteBudgetTest, PartsOfAReservationKeepItsShare) {
  ByteBudget budget(10);
  ByteBudget share(10);
  ByteBudget::Reservation all;
  all.Absorb(*budget.Reserve(6, &share));
  {
    const ByteBudget::Reservation part = all.Split(4);
    EXPECT_EQ(share.used(), 6);
  }
  EXPECT_EQ(share.used(), 2);
  EXPECT_EQ(budget.used(), 2);
}

TEST(ByteBudgetTest, ThreadsTogetherNeverExceedTheLimit) {
  constexpr int kThreads = 4;
  ByteBudget budget(3);
  std::atomic<int> held{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10'000; ++n) {
        const auto reservation = budget.Reserve(1);
        if (!reservation.has_value()) continue;
        if (++held > 3) exceeded = true;
        --held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace rwkvd
