// SPDX-License-Identifier: Apache-2.0
#include "service/port_file.h"

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
}

TEST(PortFileTest, ErrorNamesTheMissingFolder) {
  const absl::Status status = WritePortFile("/nowhere/ports", "a:1", "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("/nowhere/ports"));
}

}  // namespace
}  // namespace rwkvd
