// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_directory.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/zip_samples.h"

namespace rwkvd {
namespace {

using testing::End;
using testing::End64;
using ::testing::HasSubstr;
using testing::kIn64;

constexpr uint64_t kOffset = 36;
constexpr uint64_t kSize =
    47;  // of a directory with one entry, named by one letter

// An archive of zeros, with the given records at its end. The constants give
// the position of its directory.
std::string Before(absl::string_view end) {
  return absl::StrCat(std::string(kOffset + kSize, '\0'), end);
}

absl::StatusOr<ZipDirectory> Find(absl::string_view bytes) {
  return FindZipDirectory(
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
      FileError("m.pth"));
}

void ExpectFound(absl::string_view end) {
  const auto directory = Find(Before(end));
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(directory->offset, kOffset);
  EXPECT_EQ(directory->size, kSize);
  EXPECT_EQ(directory->num_entries, 1u);
}

TEST(ZipDirectoryTest, IsFoundByTheEndRecord) {
  ExpectFound(End(1, kSize, kOffset));
}

TEST(ZipDirectoryTest, IsFoundBeforeAComment) {
  ExpectFound(End(1, kSize, kOffset, "a comment"));
  ExpectFound(End(1, kSize, kOffset, std::string(0xffff, 'c')));
  // A false end record, whose comment has another length.
  ExpectFound(
      End(1, kSize, kOffset, absl::StrCat("PK\5\6", std::string(30, '\1'))));
  ExpectFound(
      End(1, kSize, kOffset, absl::StrCat("PK\5\6", std::string(30, '\0'))));
}

TEST(ZipDirectoryTest, BytesAfterTheEndAreIgnored) {
  ExpectFound(End(1, kSize, kOffset) + "\n");
  ExpectFound(End(1, kSize, kOffset, "a comment") + "and more");
  ExpectFound(End64(1, kSize, kOffset, kOffset + kSize) +
              End(0xffff, kIn64, kIn64) + std::string(0xffff, 'x'));
  // A record that ends the file is preferred to one that more bytes follow.
  ExpectFound(End(1, kSize, kOffset, End(7, 0, 0) + "x"));
}

// As programs leave them that reserve the space of a file in large pieces.
TEST(ZipDirectoryTest, IsFoundBeforeManyZeros) {
  const std::string zeros(3 << 20, '\0');
  ExpectFound(End(1, kSize, kOffset) + zeros);
  ExpectFound(End(1, kSize, kOffset, "a comment") + zeros);
  ExpectFound(End64(1, kSize, kOffset, kOffset + kSize) +
              End(0xffff, kIn64, kIn64) + zeros);
  ExpectFound(End(1, kSize, kOffset) + std::string(100, 'x') + zeros);
}

TEST(ZipDirectoryTest, IsFoundByTheZip64EndRecord) {
  const std::string end64 = End64(1, kSize, kOffset, kOffset + kSize);
  ExpectFound(end64 + End(1, kSize, kOffset));
  ExpectFound(end64 + End(0xffff, kIn64, kIn64));
}

struct BadEnd {
  const char* name;
  std::string bytes;
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const BadEnd& bad) {
  return out << bad.name;
}

std::vector<BadEnd> BadEnds() {
  const uint64_t end64 = kOffset + kSize, huge = ~uint64_t{0};
  return {
      {"Empty", "", "no end record of a zip archive found"},
      {"NoEndRecord", Before(std::string(100, 'x')),
       "no end record of a zip archive found; the file is truncated"},
      {"EndsWithZeros", Before(std::string(100, '\0')),
       "the file ends with zeros, its download may not have finished"},
      {"TruncatedEndRecord", Before(End(1, kSize, kOffset)).substr(0, 104),
       "no end record of a zip archive found"},
      {"CommentBeyondTheEnd",
       Before(End(1, kSize, kOffset, "comment")).substr(0, 110),
       "no end record of a zip archive found"},
      {"EndRecordTooFarFromTheEnd",
       Before(End(1, kSize, kOffset) + std::string(0x10000, 'x')),
       "the file is truncated, or more than 64 KiB follow its end"},
      {"MoreZerosThanSearched",
       Before(End(1, kSize, kOffset) + std::string((64 << 20) + 0x10000, '\0')),
       "the file ends with zeros, its download may not have finished"},
      {"SeveralVolumes", Before(End(1, kSize, kOffset, "", 1)),
       "zip archive of one volume, got several"},
      {"DirectoryInTheEnd", Before(End(1, kSize, kOffset + 1)),
       "zip directory of 47 bytes at byte 37 extends past byte 83"},
      {"TwoEntries", Before(End(2, kSize, kOffset)),
       "2 entries do not fit into its 47 bytes"},
      {"ManyEntries64",
       Before(End64(huge, kSize, kOffset, end64) + End(0xffff, kIn64, kIn64)),
       "18446744073709551615 entries"},
      {"LargeDirectory64",
       Before(End64(1, huge, kOffset, end64) + End(1, kIn64, kIn64)),
       "zip directory of 18446744073709551615 bytes"},
      {"FarDirectory64",
       Before(End64(1, kSize, huge - 10, end64) + End(1, kSize, kIn64)),
       "extends past byte"},
      {"DirectoryInTheEnd64",
       Before(End64(1, kSize, kOffset + 1, end64) + End(1, kSize, kIn64)),
       "extends past byte 83"},
      {"Far64", Before(End64(1, kSize, kOffset, huge) + End(1, kSize, kOffset)),
       "before its locator"},
      {"No64", Before(End64(1, kSize, kOffset, 3) + End(1, kSize, kOffset)),
       "no ZIP64 end record at byte 3"},
      {"EndsDisagree",
       Before(End64(1, kSize, kOffset, end64) + End(1, kSize, kOffset + 4)),
       "the two end records of the zip archive disagree"},
      {"TooManyEntries",
       std::string(100'001 * 46, '\0') +
           End64(100'001, 100'001 * 46, 0, 100'001 * 46) +
           End(0xffff, kIn64, 0),
       "zip directory has 100001 entries, the limit is 100000"},
  };
}

class BadEndTest : public ::testing::TestWithParam<BadEnd> {};

TEST_P(BadEndTest, IsRejectedWithReason) {
  const auto directory = Find(GetParam().bytes);
  EXPECT_EQ(directory.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(directory.status().message()),
              ::testing::StartsWith("m.pth: "));
  EXPECT_THAT(std::string(directory.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, BadEndTest, ::testing::ValuesIn(BadEnds()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace rwkvd
