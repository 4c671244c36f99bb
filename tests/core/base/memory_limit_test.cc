// SPDX-License-Identifier: Apache-2.0
#include "core/base/memory_limit.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/base/fake_system_test.h"

namespace rwkvd {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr char kMemoryMount[] =
    "33 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

class MemoryLimitTest : public FakeSystemTest {
 protected:
  void SetUp() override {
    FakeSystemTest::SetUp();
    Write("/proc/meminfo", "MemTotal:        1024000 kB\nMemFree: 5 kB\n");
  }
  int64_t Limit() const { return DetectMemoryLimit(root_).bytes; }
};

TEST_F(MemoryLimitTest, WithoutGroupsIsPhysicalMemory) {
  EXPECT_EQ(Limit(), 1000 * kMiB);
  EXPECT_EQ(DetectMemoryLimit(root_).source, "physical memory");
}

TEST_F(MemoryLimitTest, UnknownPhysicalMemoryIsNoLimit) {
  for (const char* text :
       {"", "MemTotal: x kB\n", "MemTotal: 5\n", "MemTotal: 0 kB\n",
        "MemTotal: -7 kB\n", "MemTotal: 9223372036854775807 kB\n"}) {
    Write("/proc/meminfo", text);
    EXPECT_EQ(Limit(), std::numeric_limits<int64_t>::max()) << text;
  }
}

TEST_F(MemoryLimitTest, SmallestLimitOnThePathToTheRootApplies) {
  WriteProc("0::/a/b\n", kV2Mount);
  Write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(Limit(), 1000 * kMiB);
  Write("/sys/fs/cgroup/a/memory.max", "314572800\n");
  EXPECT_EQ(Limit(), 300 * kMiB);
  EXPECT_EQ(DetectMemoryLimit(root_).source,
            root_ + "/sys/fs/cgroup/a/memory.max");
  Write("/sys/fs/cgroup/a/b/memory.max", "209715200\n");
  EXPECT_EQ(Limit(), 200 * kMiB);
  Write("/sys/fs/cgroup/memory.max", "104857600\n");
  EXPECT_EQ(Limit(), 100 * kMiB);
}

TEST_F(MemoryLimitTest, ThrottlingLimitCounts) {
  WriteProc("0::/a\n", kV2Mount);
  Write("/sys/fs/cgroup/a/memory.max", "209715200\n");
  Write("/sys/fs/cgroup/a/memory.high", "104857600\n");
  EXPECT_EQ(Limit(), 100 * kMiB);
}

TEST_F(MemoryLimitTest, V1ReadsItsOwnFileAndIgnoresItsHugeDefault) {
  WriteProc("4:memory:/docker/x\n3:cpu:/\n0::/\n", kMemoryMount);
  Write("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
        "9223372036854771712\n");
  Write("/sys/fs/cgroup/memory/docker/x/memory.max", "5\n");
  EXPECT_EQ(Limit(), 1000 * kMiB);
  Write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "209715200\n");
  EXPECT_EQ(Limit(), 200 * kMiB);
}

TEST_F(MemoryLimitTest, HybridSetupReadsBothHierarchies) {
  WriteProc("4:memory:/v1\n0::/v2\n",
            std::string(kMemoryMount) +
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n");
  Write("/sys/fs/cgroup/memory/v1/memory.limit_in_bytes", "209715200");
  EXPECT_EQ(Limit(), 200 * kMiB);
  Write("/sys/fs/cgroup/unified/v2/memory.max", "104857600");
  EXPECT_EQ(Limit(), 100 * kMiB);
}

TEST_F(MemoryLimitTest, MalformedLimitIsNoLimit) {
  WriteProc("0::/app\n", kV2Mount);
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("0"), std::string("-1"),
        std::string("1e5"), std::string("99999999999999999999"),
        std::string("\0", 1), std::string(3 << 20, '7')}) {
    Write("/sys/fs/cgroup/app/memory.max", text);
    EXPECT_EQ(Limit(), 1000 * kMiB) << text.substr(0, 40);
  }
}

TEST_F(MemoryLimitTest, ResourceLimitLeavesOutUnusedAddressSpace) {
  // 900 MiB of address space, 100 MiB resident, 40 MiB of them of files.
  Write("/proc/self/statm", "230400 25600 10240 1 0 51200 0\n");
  for (const auto& [resource, expected] : std::vector<std::pair<int, int64_t>>{
           {RLIMIT_AS, 60 + 100}, {RLIMIT_DATA, 860}}) {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit bounds = {1000 * kMiB, 1000 * kMiB};
      setrlimit(static_cast<__rlimit_resource_t>(resource), &bounds);
      _exit(Limit() == expected * kMiB ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << expected;
  }
}

TEST_F(MemoryLimitTest, AnonymousMemoryIsResidentWithoutFiles) {
  Write("/proc/self/statm", "230400 25600 10240 1 0 51200 0\n");
  EXPECT_EQ(AnonymousMemory(root_), 60 * kMiB);
  Write("/proc/self/statm", "garbage");
  EXPECT_EQ(AnonymousMemory(root_), 0);
}

TEST_F(MemoryLimitTest, AnonymousMemoryGrowsWithUse) {
  const int64_t before = AnonymousMemory();
  EXPECT_GT(before, 0);
  const std::vector<char> used(64 * kMiB, 1);
  EXPECT_GE(AnonymousMemory(), before + 60 * kMiB + used[5] - 1);
}

TEST_F(MemoryLimitTest, RealSystemHasALimit) {
  EXPECT_GT(DetectMemoryLimit().bytes, 16 * kMiB);
}

}  // namespace
}  // namespace rwkvd
