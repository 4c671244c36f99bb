// SPDX-License-Identifier: Apache-2.0
#include "service/listener/descriptor_limit.h"

#include <sys/resource.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr int64_t kMemory = int64_t{64} << 20;

TEST(DescriptorLimitTest, SoftLimitBecomesTheHardOne) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit lower = before;
  lower.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &lower), 0);
  EXPECT_EQ(RaiseDescriptorLimit(), static_cast<int64_t>(before.rlim_max));
  rlimit after;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
}

TEST(DescriptorLimitTest, DefaultsLeaveDescriptorsForOtherUses) {
  const auto small = DeriveConnectionLimits(64, kMemory, 0, 0);
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->total, 32);
  EXPECT_EQ(small->per_peer, 8);
  const auto medium = DeriveConnectionLimits(1024, kMemory, 0, 0);
  ASSERT_TRUE(medium.ok());
  EXPECT_EQ(medium->total, 768);
  EXPECT_EQ(medium->per_peer, 192);
}

TEST(DescriptorLimitTest, DefaultsFitIntoTheMemoryOfGrpc) {
  const auto limits = DeriveConnectionLimits(1 << 20, kMemory, 0, 0);
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->total, 1024);
  const auto less = DeriveConnectionLimits(1 << 20, kMemory / 8, 0, 0);
  ASSERT_TRUE(less.ok());
  EXPECT_EQ(less->total, 128);
}

TEST(DescriptorLimitTest, ThereIsAlwaysOneConnection) {
  const auto limits = DeriveConnectionLimits(0, 0, 0, 0);
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->total, 1);
  EXPECT_EQ(limits->per_peer, 1);
}

TEST(DescriptorLimitTest, FlagsReplaceTheDefaults) {
  const auto limits = DeriveConnectionLimits(1024, kMemory, 700, 600);
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->total, 700);
  EXPECT_EQ(limits->per_peer, 600);
  const auto share = DeriveConnectionLimits(1024, kMemory, 700, 0);
  ASSERT_TRUE(share.ok());
  EXPECT_EQ(share->per_peer, 175);
}

TEST(DescriptorLimitTest, FlagThatNeedsTooManyDescriptorsIsRefused) {
  const auto limits = DeriveConnectionLimits(1024, kMemory, 769, 0);
  EXPECT_EQ(limits.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(limits.status().message()),
              ::testing::HasSubstr("--max_connections: 769 is more than 768"));
}

}  // namespace
}  // namespace rwkvd
