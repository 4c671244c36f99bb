// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/byte_size.h"

#include <optional>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::optional<int64_t> Parsed(absl::string_view text) {
  ByteSize size;
  std::string error;
  if (AbslParseFlag(text, &size, &error)) return size.bytes;
  EXPECT_EQ(error, "expected a size such as 4GB, 500MB or 1GiB");
  return std::nullopt;
}

TEST(ByteSizeTest, ParsesUnitsOf1000AndOf1024) {
  EXPECT_EQ(Parsed("4096"), 4096);
  EXPECT_EQ(Parsed("7B"), 7);
  EXPECT_EQ(Parsed("4GB"), 4'000'000'000);
  EXPECT_EQ(Parsed("4gb"), 4'000'000'000);
  EXPECT_EQ(Parsed("4 GiB"), int64_t{4} << 30);
  EXPECT_EQ(Parsed("1.5MB"), 1'500'000);
  EXPECT_EQ(Parsed("20kB"), 20'000);
  EXPECT_EQ(Parsed("3KiB"), 3072);
  EXPECT_EQ(Parsed("2TB"), 2'000'000'000'000);
}

TEST(ByteSizeTest, RefusesOtherText) {
  for (absl::string_view text :
       {"", "GB", "4XB", "-1", "0", "0.4", "4GBs", "1e99", "99999999TB", "."}) {
    EXPECT_EQ(Parsed(text), std::nullopt) << text;
  }
}

TEST(ByteSizeTest, UnparsesToTextThatParsesBack) {
  EXPECT_EQ(AbslUnparseFlag({4'000'000'000}), "4GB");
  EXPECT_EQ(AbslUnparseFlag({1'500'000}), "1500kB");
  EXPECT_EQ(AbslUnparseFlag({4097}), "4097");
}

TEST(ByteSizeTest, ShortBytesRounds) {
  EXPECT_EQ(ShortBytes(0), "0 B");
  EXPECT_EQ(ShortBytes(999), "999 B");
  EXPECT_EQ(ShortBytes(1250), "1.2 kB");
  EXPECT_EQ(ShortBytes(3'140'000'000), "3.1 GB");
}

}  // namespace
}  // namespace rwkvd
