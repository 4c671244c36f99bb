// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_CPU_QUOTA_H_
#define RWKVD_CORE_BASE_CPU_QUOTA_H_

#include <optional>
#include <string>

namespace rwkvd {

// The number of threads that this process can keep busy, at least 1: the
// smaller of the number of processors it may run on (its affinity) and the CPU
// quota of its control group, rounded up. In a container the quota matters:
// the kernel throttles a process that uses more CPU time than its quota.
//
// `root` is the directory that holds /proc and /sys: "" for the real system, a
// temporary directory in tests.
int UsableCpus(const std::string& root = "");

// The CPU quota in processors, rounded up, at least 1: the smallest quota of
// the control groups from the process's own one up to the root. Reads `cpu.max`
// (cgroup v2) or `cpu.cfs_quota_us` (v1). Empty if no group has a quota; a file
// that is missing or malformed counts as no quota.
std::optional<int> CpuQuota(const std::string& root = "");

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_CPU_QUOTA_H_
