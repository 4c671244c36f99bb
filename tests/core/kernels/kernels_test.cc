// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/kernel_table.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

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

#if defined(__aarch64__)
TEST(KernelTablesTest, NeonIsEverywhereAndDotProductsWhereTheProcessorHasThem) {
  const bool has_them = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  EXPECT_NE(FindKernels("NEON"), nullptr);
  EXPECT_EQ(FindKernels("NEON_DOT") != nullptr, has_them);
  EXPECT_STREQ(BestKernels().name, has_them ? "NEON_DOT" : "NEON");
}
#endif

}  // namespace
}  // namespace rwkvd
