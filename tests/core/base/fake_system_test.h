// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_BASE_FAKE_SYSTEM_TEST_H_
#define RWKVD_TESTS_CORE_BASE_FAKE_SYSTEM_TEST_H_

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace rwkvd {

// The mount of the control groups of version 2, as in /proc/self/mountinfo.
inline constexpr char kV2Mount[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

// The base of tests of what the server reads about its system. An empty
// temporary directory stands in for the root of the file system.
class FakeSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo& test =
        *testing::UnitTest::GetInstance()->current_test_info();
    root_ = absl::StrCat(testing::TempDir(), "/", test.test_suite_name(), "_",
                         test.name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // Writes the file at `path` below the root.
  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << text;
  }
  // Writes the control groups of the process, and the mounts.
  void WriteProc(const std::string& cgroup,
                 const std::string& mountinfo) const {
    Write("/proc/self/cgroup", cgroup);
    Write("/proc/self/mountinfo", mountinfo);
  }

  std::string root_;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_BASE_FAKE_SYSTEM_TEST_H_
