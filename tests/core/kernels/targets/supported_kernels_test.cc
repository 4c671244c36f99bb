// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/targets/supported_kernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(SupportedKernelsTest, EveryTableIsFoundByItsName) {
  for (const KernelTable* table : SupportedKernels()) {
    EXPECT_EQ(FindKernels(table->name), table);
  }
  EXPECT_EQ(FindKernels("abacus"), nullptr);
  EXPECT_EQ(&BestKernels(), SupportedKernels().front());
}

TEST(SupportedKernelsTest, TablesHaveDifferentNames) {
  std::vector<std::string> names;
  for (const KernelTable* table : SupportedKernels()) {
    names.push_back(table->name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
#if defined(__x86_64__)  // every ARM64 has NEON, so there is no portable table
  EXPECT_GE(names.size(), 2u) << "a portable table and a better one";
#endif
}

#if defined(__aarch64__)
TEST(SupportedKernelsTest,
     NeonIsAlwaysThereAndDotProductsIfTheProcessorHasThem) {
  const bool has_them = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  EXPECT_NE(FindKernels("NEON"), nullptr);
  EXPECT_EQ(FindKernels("NEON_DOT") != nullptr, has_them);
  EXPECT_STREQ(BestKernels().name, has_them ? "NEON_DOT" : "NEON");
}
#endif

}  // namespace
}  // namespace rwkvd
