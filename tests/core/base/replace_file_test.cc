// SPDX-License-Identifier: Apache-2.0
#include "core/base/replace_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

int NumFilesIn(const std::string& directory) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files += entry.is_regular_file();
  }
  return files;
}

TEST(ReplaceFileTest, CreatesAndReplacesAFile) {
  const std::string directory = testing::MakeTempDirectory();
  const std::string path = directory + "/file";
  const std::string bytes("a\0\xff\n", 4);
  ASSERT_TRUE(ReplaceFile(path, bytes).ok());
  EXPECT_EQ(testing::ReadFileOrDie(path), bytes);
  ASSERT_TRUE(ReplaceFile(path, "").ok());
  EXPECT_EQ(testing::ReadFileOrDie(path), "");
  EXPECT_EQ(NumFilesIn(directory), 1);
}

TEST(ReplaceFileTest, OldFileKeepsItsContents) {
  const std::string path = testing::MakeTempDirectory() + "/file";
  ASSERT_TRUE(ReplaceFile(path, "old").ok());
  std::filesystem::create_hard_link(path, path + ".same");
  ASSERT_TRUE(ReplaceFile(path, "new").ok());
  EXPECT_EQ(testing::ReadFileOrDie(path + ".same"), "old");
}

TEST(ReplaceFileTest, UmaskApplies) {
  const std::string path = testing::MakeTempDirectory() + "/file";
  const mode_t before = umask(027);
  ASSERT_TRUE(ReplaceFile(path, "x").ok());
  umask(before);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(ReplaceFileTest, MissingDirectoryIsNamedInTheError) {
  const std::string path = testing::MakeTempDirectory() + "/absent/file";
  const absl::Status status = ReplaceFile(path, "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST(ReplaceFileTest, FailedRenameLeavesNoTemporaryFile) {
  const std::string directory = testing::MakeTempDirectory();
  const std::string path = directory + "/directory";
  std::filesystem::create_directory(path);
  EXPECT_FALSE(ReplaceFile(path, "x").ok());
  EXPECT_EQ(NumFilesIn(directory), 0);
}

// A limit on the file size stands in for a full disk.
TEST(ReplaceFileTest, FailedWriteKeepsTheOldContents) {
  const std::string directory = testing::MakeTempDirectory();
  const std::string path = directory + "/file";
  ASSERT_TRUE(ReplaceFile(path, "old").ok());
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = ReplaceFile(path, std::string(2000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write"));
  EXPECT_EQ(testing::ReadFileOrDie(path), "old");
  EXPECT_EQ(NumFilesIn(directory), 1);
}

}  // namespace
}  // namespace rwkvd
