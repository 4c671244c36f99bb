// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_reader.h"

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/zip_samples.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using testing::Central;
using testing::End;
using testing::End64;
using testing::Extra64;
using ::testing::HasSubstr;
using testing::Header;
using testing::HeaderOf;
using testing::kIn64;
using testing::Local;

constexpr uint16_t kSizesFollow = 1 << 3;

// An archive of one entry with the given headers and the data "data!". The name
// is that in `central`, by default "a".
std::string OneEntry(const Header& local, const Header& central,
                     uint64_t offset = 0) {
  const std::string before = Local(local) + "data!";
  const std::string directory = Central(central, offset);
  return before + directory + End(1, directory.size(), before.size());
}

std::string OneEntry(const Header& both) { return OneEntry(both, both); }

const Header kA = HeaderOf("a", 5);

absl::StatusOr<std::vector<ZipEntry>> EntriesOf(absl::string_view bytes) {
  return ReadZip(
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
      "m.pth");
}

std::string Data(const ZipEntry& entry) {
  return {reinterpret_cast<const char*>(entry.data.data()), entry.data.size()};
}

void ExpectOneEntry(const std::string& bytes) {
  const auto entries = EntriesOf(bytes);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ(entries->at(0).name, "a");
  EXPECT_EQ(Data(entries->at(0)), "data!");
}

TEST(ZipReaderTest, ReadsEntriesAsTorchWritesThem) {
  testing::ZipWriter zip;
  zip.Add("m/data.pkl", "pickle");
  zip.Add("m/data/1", "");
  zip.Add("m/data/0", "numbers");
  const std::string bytes = zip.Finish();
  const auto entries = EntriesOf(bytes);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(entries->at(0).name, "m/data.pkl");
  EXPECT_EQ(Data(entries->at(0)), "pickle");
  EXPECT_EQ(entries->at(1).name, "m/data/0");
  EXPECT_EQ(Data(entries->at(1)), "numbers");
  EXPECT_EQ(entries->at(2).name, "m/data/1");
  EXPECT_EQ(Data(entries->at(2)), "");
  EXPECT_EQ(
      entries->at(1).data.data(),
      reinterpret_cast<const std::byte*>(bytes.data()) + bytes.find("numbers"));
}

TEST(ZipReaderTest, EmptyArchiveHasNoEntries) {
  const std::string bytes = End(0, 0, 0);
  const auto entries = EntriesOf(bytes);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_TRUE(entries->empty());
}

TEST(ZipReaderTest, ReadsUncompressedEntriesOfOtherWriters) {
  ExpectOneEntry(OneEntry(kA));
  // The sizes follow the data.
  Header open = HeaderOf("a", 0), listed = kA;
  open.flags = listed.flags = kSizesFollow;
  ExpectOneEntry(OneEntry(open, listed));
  open.size = open.stored_size = kIn64;
  ExpectOneEntry(OneEntry(open, listed));
  // Other extra fields before that of ZIP64.
  Header wide = HeaderOf("a", kIn64);
  wide.extra =
      absl::StrCat("ux", testing::Two(3), "123",
                   Extra64(absl::StrCat(testing::Eight(5), testing::Eight(5))));
  ExpectOneEntry(OneEntry(wide));
  // The block contains only the values that exceed 32 bits.
  Header mixed = kA;
  mixed.size = kIn64;
  mixed.extra = Extra64(testing::Eight(5));
  ExpectOneEntry(OneEntry(mixed));
  Header far = kA;
  far.extra = Extra64(testing::Eight(0));
  ExpectOneEntry(OneEntry(kA, far, kIn64));
}

struct BadZip {
  const char* name;
  std::string bytes;
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const BadZip& bad) {
  return out << bad.name;
}

BadZip BadEntry(const char* name, void (*change)(Header& local, Header& listed),
                const char* message) {
  Header local = kA, listed = kA;
  change(local, listed);
  return {name, OneEntry(local, listed), message};
}

std::vector<BadZip> BadEntries() {
  return {
      BadEntry(
          "Compressed",
          [](Header& local, Header& listed) {
            local.method = listed.method = 8;
            local.size = listed.size = uint64_t{1} << 31;
          },
          "zip entry \"a\": is compressed (method 8)"),
      BadEntry(
          "Encrypted",
          [](Header& local, Header& listed) { local.flags = listed.flags = 1; },
          "zip entry \"a\": is encrypted"),
      BadEntry(
          "EncryptedOnlyInLocalHeader",
          [](Header& local, Header&) { local.flags = 1; },
          "does not match the directory"),
      BadEntry(
          "CompressedOnlyInLocalHeader",
          [](Header& local, Header&) { local.method = 8; },
          "does not match the directory"),
      BadEntry(
          "SizesDiffer", [](Header&, Header& listed) { listed.size = 1000; },
          "expected 1000 bytes stored without compression, got 5"),
      BadEntry(
          "SizeInLocalHeaderDiffers",
          [](Header& local, Header&) { local.size = 4; },
          "does not match the directory"),
      BadEntry(
          "NameDiffers", [](Header& local, Header&) { local.name = "b"; },
          "zip entry \"a\": header at byte 0 does not match"),
      BadEntry(
          "SizeDeferredWithoutFlag",
          [](Header& local, Header&) { local.size = local.stored_size = 0; },
          "does not match the directory"),
      BadEntry(
          "Large",
          [](Header& local, Header& listed) {
            local.size = local.stored_size = 6;
            listed.size = listed.stored_size = 6;
          },
          "6 bytes from byte 31 extend into the directory at byte 36"),
      BadEntry(
          "2To63",
          [](Header& local, Header& listed) {
            local = listed = HeaderOf("a", kIn64);
            local.extra = listed.extra =
                Extra64(absl::StrCat(testing::Eight(uint64_t{1} << 63),
                                     testing::Eight(uint64_t{1} << 63)));
          },
          "9223372036854775808 bytes"),
      BadEntry(
          "NoZip64",
          [](Header&, Header& listed) { listed = HeaderOf("a", kIn64); },
          "ZIP64 record is missing or truncated"),
      BadEntry(
          "TruncatedZip64",
          [](Header&, Header& listed) {
            listed = HeaderOf("a", kIn64);
            listed.extra =
                Extra64(absl::StrCat(testing::Eight(5), testing::Four(5)));
          },
          "ZIP64 record is missing or truncated"),
      BadEntry(
          "TruncatedZip64InLocalHeader",
          [](Header& local, Header&) {
            local = HeaderOf("a", kIn64);
            local.extra = Extra64(testing::Eight(5));
          },
          "ZIP64 record is missing or truncated"),
      BadEntry(
          "LongName",
          [](Header& local, Header& listed) {
            local.name = listed.name = std::string(4097, 'n');
          },
          "name has 4097 bytes, the limit is 4096"),
  };
}

// Two entries; the directory says that the second one is at `offset`.
std::string TwoEntries(absl::string_view second, uint64_t offset) {
  const std::string before =
      absl::StrCat(Local(kA), "data!", Local(HeaderOf(second, 3)), "two");
  const std::string directory =
      Central(kA, 0) + Central(HeaderOf(second, 3), offset);
  return before + directory + End(2, directory.size(), before.size());
}

// An entry whose data contains the header and the data of the next entry.
std::string OneInAnother() {
  const std::string inner = Local(HeaderOf("b", 1)) + "b";
  const Header outer = HeaderOf("a", inner.size());
  const std::string before = Local(outer) + inner;
  const std::string directory =
      Central(HeaderOf("b", 1), before.size() - inner.size()) +
      Central(outer, 0);
  return before + directory + End(2, directory.size(), before.size());
}

// An archive whose end record says that the directory has `num` entries and
// begins `shift` bytes too early.
std::string Listing(uint64_t num, uint64_t shift) {
  const std::string before = Local(kA) + "data!";
  const std::string directory = Central(kA, 0);
  return before + directory + End(num, directory.size(), before.size() - shift);
}

std::vector<BadZip> BadPositions() {
  const std::string last = Central(kA, 0, 3);
  return {
      {"DuplicateName", TwoEntries("a", 36),
       "zip entry \"a\": is listed twice"},
      {"NestedEntries", OneInAnother(),
       "zip entry \"b\": begins at byte 31, inside the entry before it, which "
       "ends at byte 63"},
      {"FewerEntriesThanInDirectory", Listing(0, 0),
       "47 unexpected bytes after its last entry"},
      {"DirectoryElsewhere", Listing(1, 1),
       "zip directory: entry 0, at byte 0 of the directory, is malformed"},
      {"NoHeader", TwoEntries("b", 37), "no header at byte 37"},
      {"HeaderInTheDirectory", TwoEntries("b", 71),
       "begins at byte 71, after the start of the directory at byte 70"},
      {"HeaderFarAway", TwoEntries("b", 0xfffffffe), "begins at byte 429"},
      {"AnotherVolume", absl::StrCat(last, End(1, last.size(), 0)),
       "zip entry \"a\": is in another volume"},
  };
}

class BadZipTest : public ::testing::TestWithParam<BadZip> {};

TEST_P(BadZipTest, IsRejectedWithReason) {
  const auto entries = EntriesOf(GetParam().bytes);
  ASSERT_FALSE(entries.ok());
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(entries.status().message()),
              ::testing::StartsWith("m.pth: "));
  EXPECT_THAT(std::string(entries.status().message()),
              HasSubstr(GetParam().message));
}

std::string NameOfBad(const ::testing::TestParamInfo<BadZip>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Entries, BadZipTest, ::testing::ValuesIn(BadEntries()),
                         NameOfBad);
INSTANTIATE_TEST_SUITE_P(Positions, BadZipTest,
                         ::testing::ValuesIn(BadPositions()), NameOfBad);

TEST(ZipReaderTest, ReadsAdjacentEntries) {
  EXPECT_TRUE(EntriesOf(TwoEntries("b", 36)).ok());
}

// An archive whose directory has `num` entries that all refer to the same
// header. Its extra field is as long, and has as many blocks, as possible.
std::string ManyOfOneHeader(int64_t num, const Header& header) {
  const std::string before = Local(header);
  std::string directory;
  for (int64_t i = 0; i < num; ++i) {
    absl::StrAppend(&directory, Central(HeaderOf(header.name, 0), 0));
  }
  const uint64_t at = before.size() + directory.size();
  return absl::StrCat(before, directory,
                      End64(num, directory.size(), before.size(), at),
                      End(0xffff, kIn64, kIn64));
}

TEST(ZipReaderTest, HugeNumberOfEntriesIsRejectedQuickly) {
  Header header = HeaderOf("a", 0);
  for (int i = 0; i < 16'383; ++i) header.extra += std::string("ab\0\0", 4);
  header.size = kIn64;
  const std::clock_t begin = std::clock();
  EXPECT_THAT(
      std::string(
          EntriesOf(ManyOfOneHeader(100'000, header)).status().message()),
      HasSubstr("ZIP64 record is missing"));
  header.size = 0;
  EXPECT_THAT(
      std::string(
          EntriesOf(ManyOfOneHeader(100'000, header)).status().message()),
      HasSubstr("inside the entry before it"));
  EXPECT_THAT(
      std::string(
          EntriesOf(ManyOfOneHeader(100'001, header)).status().message()),
      HasSubstr("100001 entries, the limit is 100000"));
  EXPECT_LT(double(std::clock() - begin) / CLOCKS_PER_SEC, 5);
}

}  // namespace
}  // namespace rwkvd
