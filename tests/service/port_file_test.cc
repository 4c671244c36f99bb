// SPDX-License-Identifier: Apache-2.0
#include "service/port_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(PortFileTest, ContainsTheAddresses) {
  const std::string path = ::testing::TempDir() + "/ports";
  ASSERT_TRUE(WritePortFile(path, "127.0.0.1:1", "127.0.0.1:2").ok());
  EXPECT_EQ(Contents(path), "grpc=127.0.0.1:1\nmetrics=127.0.0.1:2\n");
  ASSERT_TRUE(WritePortFile(path, "unix:/s", "").ok());
  EXPECT_EQ(Contents(path), "grpc=unix:/s\n");
  ASSERT_TRUE(WritePortFile(path, "unix:/s", "", "127.0.0.1:3").ok());
  EXPECT_EQ(Contents(path), "grpc=unix:/s\nhealth=127.0.0.1:3\n");
}

TEST(PortFileTest, LinksAreReplacedAndNotFollowed) {
  const std::string target = ::testing::TempDir() + "/victim";
  const std::string path = ::testing::TempDir() + "/link_to_victim";
  std::ofstream(target) << "precious";
  // Also under the name of a temporary file that is easy to guess.
  for (const std::string& link : {path, path + ".tmp"}) {
    unlink(link.c_str());
    ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
  }
  ASSERT_TRUE(WritePortFile(path, "127.0.0.1:1", "").ok());
  EXPECT_EQ(Contents(target), "precious");
  EXPECT_EQ(Contents(path), "grpc=127.0.0.1:1\n");
}

TEST(PortFileTest, OnlyRegularFilesAreReplaced) {
  const std::string pipe = ::testing::TempDir() + "/pipe";
  const std::string link = ::testing::TempDir() + "/link_to_device";
  unlink(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  unlink(link.c_str());
  ASSERT_EQ(symlink("/dev/null", link.c_str()), 0);
  for (const std::string& path : {pipe, link, ::testing::TempDir()}) {
    const absl::Status status = WritePortFile(path, "a:1", "");
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << path;
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr("not a regular file"));
  }
}

TEST(PortFileTest, ErrorNamesTheMissingFolder) {
  const absl::Status status = WritePortFile("/nowhere/ports", "a:1", "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("/nowhere/ports"),
                               ::testing::HasSubstr("No such file")));
}

}  // namespace
}  // namespace rwkvd
