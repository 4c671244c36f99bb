// SPDX-License-Identifier: Apache-2.0
#include "core/text/missing_bytes.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(CheckEveryByteIsAToken, AsksForEachByteOnce) {
  std::string asked;
  EXPECT_TRUE(CheckEveryByteIsAToken("v", [&](absl::string_view byte) {
                asked += std::string(byte);
                return true;
              }).ok());
  ASSERT_EQ(asked.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(asked[i], static_cast<char>(i));
}

TEST(CheckEveryByteIsAToken, NamesTheMissingOnes) {
  const absl::Status status = CheckEveryByteIsAToken(
      "dir/v.txt",
      [](absl::string_view byte) { return byte != "\n" && byte != "\xf0"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("dir/v.txt: "));
  EXPECT_THAT(std::string(status.message()), EndsWith("missing 2: 0x0a 0xf0"));
}

TEST(CheckEveryByteIsAToken, NamesOnlySomeOfMany) {
  const absl::Status status =
      CheckEveryByteIsAToken("v", [](absl::string_view) { return false; });
  EXPECT_THAT(std::string(status.message()), HasSubstr("missing 256: 0x00 "));
  EXPECT_THAT(std::string(status.message()), EndsWith(" 0x0f ..."));
}

}  // namespace
}  // namespace rwkvd
