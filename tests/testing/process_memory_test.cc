// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/process_memory.h"

#include <vector>

#include "gtest/gtest.h"

namespace rwkvd::testing {
namespace {

TEST(ProcessMemoryTest, PeakIncludesTouchedMemory) {
  EXPECT_GT(PeakBytes([] { std::vector<char>(64 << 20, 1); }), 60 << 20);
  EXPECT_LT(PeakBytes([] {}), 4 << 20);
}

TEST(ProcessMemoryTest, ResidentSetIncludesMappedFiles) {
  EXPECT_GT(ResidentFileBytes(), 0);
  EXPECT_GT(ResidentBytes(), ResidentFileBytes());
}

}  // namespace
}  // namespace rwkvd::testing
