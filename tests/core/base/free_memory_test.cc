// SPDX-License-Identifier: Apache-2.0
#include "core/base/free_memory.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/process_memory.h"

namespace rwkvd {
namespace {

constexpr int64_t kBlocks = 1000;
constexpr int64_t kBlockBytes = 64 << 10;  // not mapped on its own

using Block = std::unique_ptr<char[]>;

TEST(FreeMemoryTest, WhatLiesBetweenLivingBlocksIsGivenBack) {
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the allocator is not glibc's";
#endif
  std::vector<Block> lasting, passing;
  for (int64_t i = 0; i < kBlocks; ++i) {
    lasting.push_back(std::make_unique<char[]>(16));
    passing.push_back(std::make_unique<char[]>(kBlockBytes));  // touched
  }
  passing.clear();
  const int64_t before = testing::ResidentBytes();
  ASSERT_GT(before, kBlocks * kBlockBytes);  // else there is nothing to see
  ReturnFreeMemory();
  const int64_t given_back = before - testing::ResidentBytes();
  EXPECT_GT(given_back, kBlocks * kBlockBytes / 10 * 9);
}

}  // namespace
}  // namespace rwkvd
