// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/byte_reader.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

TEST(ByteReaderTest, ReadsLittleEndianNumbersInOrder) {
  ByteReader reader(AsBytes("\x01\x02\x03\xff\xff\xff\x7f"));
  uint8_t one;
  uint16_t two;
  uint32_t four;
  ASSERT_TRUE(reader.Read(&one, &two, &four));
  EXPECT_EQ(one, 1);
  EXPECT_EQ(two, 0x0302);
  EXPECT_EQ(four, 0x7fffffffu);
  EXPECT_EQ(reader.position(), 7u);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReaderTest, ReadsNumbersOfAnyWidth) {
  ByteReader reader(AsBytes("\xfe\xff\xff\xff\xff\xff\xff\xff\x05\x06\x07"));
  uint64_t number;
  ASSERT_TRUE(reader.ReadNumber(8, &number));
  EXPECT_EQ(number, ~uint64_t{1});
  ASSERT_TRUE(reader.ReadNumber(3, &number));
  EXPECT_EQ(number, 0x070605u);
  ASSERT_TRUE(reader.ReadNumber(0, &number));
  EXPECT_EQ(number, 0u);
}

TEST(ByteReaderTest, FailedReadDoesNotAdvance) {
  ByteReader reader(AsBytes("abc"));
  uint16_t two;
  uint64_t number;
  absl::string_view text;
  EXPECT_FALSE(reader.Read(&two, &two));
  EXPECT_FALSE(reader.ReadNumber(4, &number));
  EXPECT_FALSE(reader.ReadText(4, &text));
  EXPECT_FALSE(reader.ReadText(~uint64_t{0}, &text));
  EXPECT_EQ(reader.position(), 0u);
  ASSERT_TRUE(reader.ReadText(3, &text));
  EXPECT_EQ(text, "abc");
  EXPECT_TRUE(reader.ReadText(0, &text));
  EXPECT_FALSE(reader.ReadText(1, &text));
  EXPECT_FALSE(reader.ReadText(~uint64_t{0}, &text));
}

}  // namespace
}  // namespace rwkvd
