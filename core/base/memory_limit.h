// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_MEMORY_LIMIT_H_
#define RWKVD_CORE_BASE_MEMORY_LIMIT_H_

#include <cstdint>
#include <string>

namespace rwkvd {

// The memory that this process may use, and what sets this limit. A value.
struct MemoryLimit {
  int64_t bytes = 0;
  std::string source;  // for people, such as "physical memory"
};

// The smallest of: physical memory; the limits of the process's control group
// and of all groups above it (`memory.max` and `memory.high` in cgroup v2,
// `memory.limit_in_bytes` in v1); and the resource limits RLIMIT_AS and
// RLIMIT_DATA, without the address space that is reserved but not in use. The
// kernel kills a process that exceeds the limit of its group. A file that is
// missing or malformed counts as no limit.
//
// `root` is the directory that holds /proc and /sys: "" for the real system, a
// temporary directory in tests.
MemoryLimit DetectMemoryLimit(const std::string& root = "");

// The anonymous memory of this process in bytes: what it has allocated and
// used, without mapped files. Memory that was freed but not returned to the
// system counts. 0 if /proc cannot be read.
int64_t AnonymousMemory(const std::string& root = "");

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MEMORY_LIMIT_H_
