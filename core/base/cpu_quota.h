// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_CPU_QUOTA_H_
#define RWKVD_CORE_BASE_CPU_QUOTA_H_

#include <optional>
#include <string>

namespace rwkvd {

// How many threads this process can keep busy: the smaller of the processors
// it may run on (affinity) and its control group's CPU quota, rounded up; at
// least 1. In a container the quota is what counts: more threads than that
// only get throttled. Reads cgroup v2 `cpu.max` or v1 `cpu.cfs_quota_us` on the
// path from the process's own group to the root, as seen below `root` (""
// is the real system; tests pass a directory of their own).
int UsableCpus(const std::string& root = "");

// The quota alone, in processors rounded up, at least 1: the smallest one on
// the path from the process's own group to the root. None if no group sets
// one; files that are absent or say something else set none.
std::optional<int> CpuQuota(const std::string& root = "");

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_CPU_QUOTA_H_
