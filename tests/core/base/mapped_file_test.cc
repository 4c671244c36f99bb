// SPDX-License-Identifier: Apache-2.0
#include "core/base/mapped_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/process_memory.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::string Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

TEST(MappedFileTest, BytesAreTheFilesContents) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, "some bytes");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Text(**file), "some bytes");
  EXPECT_EQ((*file)->path(), path);
}

TEST(MappedFileTest, StaysReadableAfterTheFileIsRemoved) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, "still here");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(remove(path.c_str()), 0);
  EXPECT_EQ(Text(**file), "still here");
}

TEST(MappedFileTest, EmptyFileHasNoBytes) {
  const std::string path = testing::MakeTempDirectory() + "/empty";
  testing::WriteFileOrDie(path, "");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFileTest, ReadMapsNoPages) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, std::string(8 << 20, 'x') + "end");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const int64_t before = testing::ResidentFileBytes();
  std::vector<std::byte> bytes((*file)->bytes().size() - 3);
  ASSERT_TRUE((*file)->Read(3, absl::MakeSpan(bytes)).ok());
  EXPECT_LT(testing::ResidentFileBytes() - before, 1 << 20);
  EXPECT_EQ(bytes.front(), std::byte{'x'});
  EXPECT_EQ(bytes.back(), std::byte{'d'});
  EXPECT_TRUE((*file)->Read((*file)->bytes().size(), {}).ok());
}

TEST(MappedFileTest, ReadReportsATruncatedFile) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, "0123456789");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::filesystem::resize_file(path, 4);
  std::byte bytes[5];
  const absl::Status status = (*file)->Read(2, absl::MakeSpan(bytes));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("ends at byte 4, but had 10 bytes"));
}

TEST(MappedFileTest, PreloadReadsOnlyTheRequestedPages) {
  constexpr int64_t kBytes = 16 << 20;
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, std::string(kBytes + 1, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const int64_t before = testing::ResidentFileBytes();
  (*file)->Preload(0, 0);
  (*file)->Preload(kBytes + 1, 0);
  EXPECT_LT(testing::ResidentFileBytes() - before, 2 << 20);
  (*file)->Preload(kBytes / 2 + 1, kBytes / 2);  // not aligned to pages
  EXPECT_GT(testing::ResidentFileBytes() - before, 6 << 20);
  EXPECT_LT(testing::ResidentFileBytes() - before, 10 << 20);
  (*file)->Preload(0, kBytes + 1);
  EXPECT_GT(testing::ResidentFileBytes() - before, 14 << 20);
}

TEST(MappedFileTest, ReleaseGivesUpWholePagesOfTheRange) {
  constexpr int64_t kBytes = 16 << 20;
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, std::string(kBytes, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const int64_t before = testing::ResidentFileBytes();
  (*file)->Preload(0, kBytes);
  (*file)->Release(17, 0);
  (*file)->Release(kBytes - 5, 5);  // no whole page
  EXPECT_GT(testing::ResidentFileBytes() - before, 14 << 20);
  (*file)->Release(1, kBytes / 2);  // not aligned to pages
  EXPECT_GT(testing::ResidentFileBytes() - before, 6 << 20);
  EXPECT_LT(testing::ResidentFileBytes() - before, 10 << 20);
  EXPECT_EQ(Text(**file), std::string(kBytes, 'x'));
}

TEST(MappedFileTest, AccessNextToReleasedPagesDoesNotMapThem) {
  constexpr int64_t kBytes = 32 << 20, kPeriod = 2 << 20, kKept = 64 << 10;
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, std::string(kBytes, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const int64_t before = testing::ResidentFileBytes();
  (*file)->Preload(0, kBytes);
  for (int64_t i = 0; i < kBytes; i += kPeriod) {
    (*file)->Release(i + kKept, kPeriod - kKept);
  }
  for (int64_t i = 0; i < kBytes; i += kPeriod) {
    EXPECT_EQ((*file)->bytes()[i], std::byte{'x'});
  }
  EXPECT_LT(testing::ResidentFileBytes() - before, 8 << 20);
}

TEST(MappedFileTest, ReportsAFileThatAnotherProcessHasChanged) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, "some bytes");
  const auto file = *MappedFile::Open(path);
  EXPECT_TRUE(file->CheckUnchanged().ok());
  ASSERT_EQ(chmod(path.c_str(), 0400), 0);
  EXPECT_TRUE(file->CheckUnchanged().ok());

  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  const absl::Status modified = file->CheckUnchanged();
  EXPECT_EQ(modified.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(modified.message()),
              HasSubstr(path + ": changed while it was in use: it was modified "
                               "at 2001-09-09"));

  ASSERT_EQ(truncate(path.c_str(), 4), 0);
  EXPECT_THAT(std::string(file->CheckUnchanged().message()),
              HasSubstr("it has 4 bytes, it had 10"));
}

TEST(MappedFileTest, FileThatIsReplacedByARenameIsUnchanged) {
  const std::string path = testing::MakeTempDirectory() + "/f";
  testing::WriteFileOrDie(path, "old");
  const auto file = *MappedFile::Open(path);
  EXPECT_FALSE(file->IsReplaced());
  testing::WriteFileOrDie(path + ".new", "other bytes");
  ASSERT_EQ(rename((path + ".new").c_str(), path.c_str()), 0);
  EXPECT_TRUE(file->CheckUnchanged().ok());
  EXPECT_TRUE(file->IsReplaced());
  EXPECT_EQ(Text(*file), "old");
}

TEST(MappedFileTest, MissingFileIsNotFound) {
  const auto file = MappedFile::Open("/nowhere/at/all");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("/nowhere/at/all"));
}

TEST(MappedFileTest, DirectoriesAndPipesAreRejectedWithoutWaiting) {
  const std::string directory = testing::MakeTempDirectory();
  const std::string pipe = directory + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {directory, pipe}) {
    const auto file = MappedFile::Open(path);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(path));
  }
}

}  // namespace
}  // namespace rwkvd
