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

int NumFilesIn(const std::string& folder) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files += entry.is_regular_file();
  }
  return files;
}

TEST(ReplaceFileTest, MakesAFileAndReplacesIt) {
  const std::string folder = testing::MakeTempDirectory();
  const std::string path = folder + "/file";
  const std::string bytes("a\0\xff\n", 4);
  ASSERT_TRUE(ReplaceFile(path, bytes).ok());
  EXPECT_EQ(testing::ReadFileOrDie(path), bytes);
  ASSERT_TRUE(ReplaceFile(path, "").ok());
  EXPECT_EQ(testing::ReadFileOrDie(path), "");
  EXPECT_EQ(NumFilesIn(folder), 1);
}

TEST(ReplaceFileTest, WhoHasOpenedTheOldFileKeepsIt) {
  const std::string path = testing::MakeTempDirectory() + "/file";
  ASSERT_TRUE(ReplaceFile(path, "old").ok());
  std::filesystem::create_hard_link(path, path + ".same");
  ASSERT_TRUE(ReplaceFile(path, "new").ok());
  EXPECT_EQ(testing::ReadFileOrDie(path + ".same"), "old");
}

TEST(ReplaceFileTest, TheUmaskAppliesAsToAnyFile) {
  const std::string path = testing::MakeTempDirectory() + "/file";
  const mode_t before = umask(027);
  ASSERT_TRUE(ReplaceFile(path, "x").ok());
  umask(before);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(ReplaceFileTest, AMissingFolderIsNamed) {
  const std::string path = testing::MakeTempDirectory() + "/absent/file";
  const absl::Status status = ReplaceFile(path, "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST(ReplaceFileTest, WhatCannotTakeThePlaceLeavesNothingBehind) {
  const std::string folder = testing::MakeTempDirectory();
  const std::string path = folder + "/folder";
  std::filesystem::create_directory(path);
  EXPECT_FALSE(ReplaceFile(path, "x").ok());
  EXPECT_EQ(NumFilesIn(folder), 0);
}

// A disk that is full half-way: the old contents stay.
TEST(ReplaceFileTest, AFailureInTheMidstChangesNothing) {
  const std::string folder = testing::MakeTempDirectory();
  const std::string path = folder + "/file";
  ASSERT_TRUE(ReplaceFile(path, "old").ok());
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tight{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const absl::Status status = ReplaceFile(path, std::string(2000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write"));
  EXPECT_EQ(testing::ReadFileOrDie(path), "old");
  EXPECT_EQ(NumFilesIn(folder), 1);
}

}  // namespace
}  // namespace rwkvd
