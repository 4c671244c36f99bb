// SPDX-License-Identifier: Apache-2.0
#include "core/base/dtype.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(DTypeTest, NamesOfPlainTypesAreParsed) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8}) {
    EXPECT_EQ(DTypeFromName(NameOf(dtype)), dtype);
    EXPECT_EQ(BlockElements(dtype), 1);
    EXPECT_EQ(BlockBytes(dtype), static_cast<int64_t>(SizeOf(dtype)));
  }
}

TEST(DTypeTest, BlockTypesHaveTheSizesOfGgml) {
  EXPECT_EQ(NameOf(DType::kQ4_0), "Q4_0");
  EXPECT_EQ(BlockElements(DType::kQ4_0), 32);
  EXPECT_EQ(BlockBytes(DType::kQ4_0), 2 + 32 / 2);
  EXPECT_EQ(NameOf(DType::kQ6_K), "Q6_K");
  EXPECT_EQ(BlockElements(DType::kQ6_K), 256);
  EXPECT_EQ(BlockBytes(DType::kQ6_K), 256 * 6 / 8 + 16 + 2);
  EXPECT_EQ(NameOf(DType::kIQ4_XS), "IQ4_XS");
  EXPECT_EQ(BlockBytes(DType::kIQ4_XS), 2 + 2 + 4 + 256 / 2);
}

TEST(DTypeTest, BlockTypesAreNoTypesOfFlagsAndElements) {
  for (DType dtype : kBlockTypes) {
    EXPECT_TRUE(IsBlockType(dtype));
    EXPECT_EQ(DTypeFromName(NameOf(dtype)), std::nullopt);
    EXPECT_DEATH(SizeOf(dtype), "check failed");
  }
  EXPECT_FALSE(IsBlockType(DType::kU8));
}

}  // namespace
}  // namespace rwkvd
