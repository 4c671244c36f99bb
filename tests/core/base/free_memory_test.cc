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
constexpr int64_t kBlockBytes = 64 << 10;  // too small for a mapping of its own

using Block = std::unique_ptr<char[]>;

TEST(FreeMemoryTest, ReturnsFreePagesBetweenLiveBlocks) {
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the allocator is not that of glibc";
#endif
  std::vector<Block> live, temporary;
  for (int64_t i = 0; i < kBlocks; ++i) {
    live.push_back(std::make_unique<char[]>(16));
    temporary.push_back(std::make_unique<char[]>(kBlockBytes));
  }
  temporary.clear();
  const int64_t before = testing::ResidentBytes();
  ASSERT_GT(before, kBlocks * kBlockBytes);  // some pages can be returned
  ReturnFreeMemory();
  const int64_t returned = before - testing::ResidentBytes();
  EXPECT_GT(returned, kBlocks * kBlockBytes / 10 * 9);
}

}  // namespace
}  // namespace rwkvd
