// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/kernels.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(KernelTablesTest, EveryTableIsFoundByItsName) {
  for (const KernelTable* table : SupportedKernels()) {
    EXPECT_EQ(FindKernels(table->name), table);
  }
  EXPECT_EQ(FindKernels("abacus"), nullptr);
  EXPECT_EQ(&BestKernels(), SupportedKernels().front());
}

TEST(KernelTablesTest, TablesAreOfDifferentInstructionSets) {
  std::vector<std::string> names;
  for (const KernelTable* table : SupportedKernels()) {
    names.push_back(table->name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
#if defined(__x86_64__)  // NEON is part of every ARM64 and has no portable twin
  EXPECT_GE(names.size(), 2u) << "portable code and at least one better";
#endif
}

}  // namespace
}  // namespace rwkvd
