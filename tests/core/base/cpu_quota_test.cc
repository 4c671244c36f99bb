// SPDX-License-Identifier: Apache-2.0
#include "core/base/cpu_quota.h"

#include <sched.h>

#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tests/core/base/fake_system_test.h"

namespace rwkvd {
namespace {

constexpr char kCpuMount[] =
    "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
    "rw,cpu,cpuacct\n";

class CpuQuotaTest : public FakeSystemTest {
 protected:
  std::optional<int> Quota() const { return CpuQuota(root_); }
};

using Cpus = std::optional<int>;

TEST_F(CpuQuotaTest, NoMountedHierarchyMeansNoQuota) {
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, V2QuotaIsRoundedUp) {
  WriteProc("0::/app\n", kV2Mount);
  const struct {
    const char* text;
    Cpus expected;
  } cases[] = {{"100000 100000\n", 1}, {"100001 100000\n", 2},
               {"250000 100000\n", 3}, {"1000 100000\n", 1},
               {"1 1000000\n", 1},     {"400000 50000\n", 8},
               {"300000 100000", 3},   {"max 100000\n", {}}};
  for (const auto& c : cases) {
    Write("/sys/fs/cgroup/app/cpu.max", c.text);
    EXPECT_EQ(Quota(), c.expected) << c.text;
  }
}

TEST_F(CpuQuotaTest, MalformedQuotaMeansNoQuota) {
  WriteProc("0::/app\n", kV2Mount);
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("100000"),
        std::string("0 100000"), std::string("-5 100000"),
        std::string("100000 0"), std::string("100000 -1"),
        std::string("1e5 100000"), std::string("100000 100000 100000"),
        std::string("99999999999999999999 100000"), std::string("\0 \0", 3),
        std::string(3 << 20, '7'), std::string(3 << 20, ' ')}) {
    Write("/sys/fs/cgroup/app/cpu.max", text);
    EXPECT_EQ(Quota(), Cpus()) << text.substr(0, 40);
  }
}

TEST_F(CpuQuotaTest, HugeQuotaDoesNotOverflow) {
  WriteProc("0::/\n", kV2Mount);
  Write("/sys/fs/cgroup/cpu.max", "9223372036854775807 1");
  EXPECT_EQ(Quota(), Cpus(2147483647));
  Write("/sys/fs/cgroup/cpu.max", "9223372036854775807 9223372036854775806");
  EXPECT_EQ(Quota(), Cpus(2));
}

TEST_F(CpuQuotaTest, SmallestQuotaOnThePathToTheRootApplies) {
  WriteProc("0::/a/b/c\n", kV2Mount);
  Write("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/a/b/cpu.max", "600000 100000\n");
  EXPECT_EQ(Quota(), Cpus(6));
  Write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), Cpus(3));
  Write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), Cpus(2));
  Write("/sys/fs/cgroup/a/b/c/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), Cpus(1));
}

TEST_F(CpuQuotaTest, QuotasOfOtherGroupsAreIgnored) {
  WriteProc("0::/a\n", kV2Mount);
  Write("/sys/fs/cgroup/b/cpu.max", "100000 100000\n");
  Write("/sys/fs/cgroup/a/below/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, V1ReadsQuotaAndPeriod) {
  WriteProc("5:memory:/m\n4:cpu,cpuacct:/docker/x\n0::/\n", kCpuMount);
  const std::string group = "/sys/fs/cgroup/cpu,cpuacct/docker/x";
  Write(group + "/cpu.cfs_quota_us", "-1\n");
  Write(group + "/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), Cpus());
  Write(group + "/cpu.cfs_quota_us", "350000\n");
  EXPECT_EQ(Quota(), Cpus(4));
  Write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "150000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), Cpus(2));
}

TEST_F(CpuQuotaTest, V1WithoutAPeriodMeansNoQuota) {
  WriteProc("4:cpu,cpuacct:/\n", kCpuMount);
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "350000\n");
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, V1IgnoresControllersWhoseNameOnlyStartsWithCpu) {
  WriteProc("3:cpuset:/\n2:cpuacct:/\n",
            "35 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
            "34 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup "
            "rw,cpuacct\n");
  for (const char* name : {"cpuset", "cpuacct"}) {
    const std::string mount = std::string("/sys/fs/cgroup/") + name;
    Write(mount + "/cpu.cfs_quota_us", "100000\n");
    Write(mount + "/cpu.cfs_period_us", "100000\n");
  }
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, HybridSetupReadsBothHierarchies) {
  WriteProc(
      "4:cpu,cpuacct:/v1\n0::/v2\n",
      std::string(kCpuMount) +
          "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/v1/cpu.cfs_quota_us", "500000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/v1/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), Cpus(5));
  Write("/sys/fs/cgroup/unified/v2/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), Cpus(3));
}

TEST_F(CpuQuotaTest, ContainerWithoutNamespaceReadsItsMountedSubtree) {
  WriteProc("0::/kubepods/pod1/c1/inner\n",
            "30 23 0:26 /kubepods/pod1/c1 /sys/fs/cgroup rw - cgroup2 c rw\n");
  Write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), Cpus(2));
  Write("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), Cpus(1));
}

TEST_F(CpuQuotaTest, GroupOutsideTheMountReadsTheMountPoint) {
  Write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  // Siblings of the mounted group, and a name that has its name as a prefix.
  for (const char* group : {"/../sibling", "/../../x", "/kubepods/pod10"}) {
    WriteProc(std::string("0::") + group + "\n",
              "30 23 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 c rw\n");
    EXPECT_EQ(Quota(), Cpus(2)) << group;
  }
}

TEST_F(CpuQuotaTest, GroupPathCannotLeaveTheMountPoint) {
  WriteProc("0::/../../../secret\n", kV2Mount);
  Write("/secret/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, MountPointWithEscapedSpacesIsFound) {
  WriteProc("0::/\n", "30 23 0:26 / /my\\040groups rw - cgroup2 c rw\n");
  Write("/my groups/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), Cpus(3));
}

TEST_F(CpuQuotaTest, MalformedMountAndGroupLinesAreSkipped) {
  const std::string garbage = "garbage\n - \n1 2 - cgroup2\n- - - - -\n\\04\n";
  WriteProc("\n:\n0:\n::::\n0::/app\n", garbage + kV2Mount);
  Write("/sys/fs/cgroup/app/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), Cpus(3));
}

TEST_F(CpuQuotaTest, VeryDeepGroupPathTerminates) {
  std::string group;
  for (int i = 0; i < 10000; ++i) group += "/d";
  WriteProc("0::" + group + "\n", kV2Mount);
  EXPECT_EQ(Quota(), Cpus());
}

TEST_F(CpuQuotaTest, UsableCpusIsTheSmallerOfAffinityAndQuota) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  const int affinity = CPU_COUNT(&set);
  EXPECT_EQ(UsableCpus(root_), affinity);
  WriteProc("0::/app\n", kV2Mount);
  Write("/sys/fs/cgroup/app/cpu.max", "100000000 100000\n");
  EXPECT_EQ(UsableCpus(root_), affinity);
  Write("/sys/fs/cgroup/app/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableCpus(root_), 1);
}

TEST_F(CpuQuotaTest, RealSystemHasAtLeastOneCpu) { EXPECT_GE(UsableCpus(), 1); }

}  // namespace
}  // namespace rwkvd
