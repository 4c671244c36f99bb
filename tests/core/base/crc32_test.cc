// SPDX-License-Identifier: Apache-2.0
#include "core/base/crc32.h"

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

absl::Span<const std::byte> BytesOf(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// The check value that catalogs of CRC algorithms list.
TEST(Crc32Test, IsThatOfZipArchives) {
  Crc32 sum;
  EXPECT_EQ(sum.value(), 0u);
  sum.Update(BytesOf("123456789"));
  EXPECT_EQ(sum.value(), 0xcbf43926u);
}

TEST(Crc32Test, DoesNotDependOnThePieces) {
  Crc32 sum;
  for (const char* piece : {"1", "", "2345678", "9"})
    sum.Update(BytesOf(piece));
  EXPECT_EQ(sum.value(), 0xcbf43926u);
}

}  // namespace
}  // namespace rwkvd
