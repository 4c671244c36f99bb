// SPDX-License-Identifier: Apache-2.0
#include "cli/share_folders.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

constexpr char kSystem[] = "/usr/share/rwkvd";

TEST(ShareFoldersTest, GivenFolderIsTheOnlyOne) {
  EXPECT_THAT(ShareFolders("/some/folder"), ElementsAre("/some/folder"));
}

TEST(ShareFoldersTest, InstalledProgramsHaveOneNextToTheirFolder) {
  EXPECT_THAT(ShareFoldersOf("/opt/x/bin/rwkvd", "rwkvd"),
              ElementsAre("/opt/x/share/rwkvd", kSystem));
  EXPECT_THAT(ShareFoldersOf("/usr/bin/rwkvd", "/usr/bin/rwkvd"),
              ElementsAre(kSystem));
}

TEST(ShareFoldersTest, PathOfTheProgramMayBeUnknown) {
  EXPECT_THAT(ShareFoldersOf("", "rwkvd"), ElementsAre(kSystem));
}

TEST(ShareFoldersTest, CheckoutIsFoundFromTheProgramOrTheLinkToIt) {
  const std::string checkout = ::testing::TempDir() + "/share_folders";
  std::filesystem::create_directories(checkout);
  std::ofstream(checkout + "/WORKSPACE");
  const std::string expected = std::filesystem::path(checkout + "/.cache/share")
                                   .lexically_normal()
                                   .string();
  EXPECT_THAT(ShareFoldersOf(checkout + "/.cache/quickstart/rwkvd", "rwkvd"),
              Contains(expected));
  EXPECT_THAT(
      ShareFoldersOf("/far/away/rwkvd", checkout + "/bazel-bin/service/rwkvd"),
      ElementsAre("/far/share/rwkvd", expected, kSystem));
  std::filesystem::remove_all(checkout);
}

TEST(ShareFoldersTest, RunningProgramHasFolders) {
  EXPECT_THAT(ShareFolders(""), Contains(kSystem));
  EXPECT_GE(ShareFolders("").size(), 2u);  // one of the program's own path
}

}  // namespace
}  // namespace rwkvd
