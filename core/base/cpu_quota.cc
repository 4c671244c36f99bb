// SPDX-License-Identifier: Apache-2.0
#include "core/base/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/control_group.h"

namespace rwkvd {
namespace {

// The number of processors, rounded up, that give `quota` microseconds of CPU
// time in each `period`. Empty if either number is invalid or not positive.
std::optional<int> CeilOfQuota(absl::string_view quota,
                               absl::string_view period) {
  int64_t quota_us = 0;
  int64_t period_us = 0;
  if (!absl::SimpleAtoi(quota, &quota_us) ||
      !absl::SimpleAtoi(period, &period_us) || quota_us <= 0 ||
      period_us <= 0) {
    return std::nullopt;
  }
  const int64_t cpus = quota_us / period_us + (quota_us % period_us != 0);
  return static_cast<int>(
      std::min<int64_t>(cpus, std::numeric_limits<int>::max()));
}

// The quota of the group whose files lie in `directory`. Version 2 has quota
// and period in one file ("max 100000" or "50000 100000"), version 1 has them
// in two, where -1 means no quota.
std::optional<int> QuotaOfGroup(const std::string& directory, bool is_v2) {
  if (!is_v2) {
    return CeilOfQuota(
        ReadStart(absl::StrCat(directory, "/cpu.cfs_quota_us")),
        ReadStart(absl::StrCat(directory, "/cpu.cfs_period_us")));
  }
  const std::string text = ReadStart(absl::StrCat(directory, "/cpu.max"));
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (fields.size() != 2) return std::nullopt;
  return CeilOfQuota(fields[0], fields[1]);
}

std::optional<int> Smaller(std::optional<int> a, std::optional<int> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// The number of processors this process may run on; 0 if that is unknown.
int AffinityCpus() {
  constexpr int kMostCpus = 1 << 16;
  // The kernel returns EINVAL for a set that is smaller than its own.
  for (int cpus = CPU_SETSIZE; cpus <= kMostCpus; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) return 0;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const bool too_small = !ok && errno == EINVAL;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (!too_small) return count;
  }
  return 0;
}

}  // namespace

std::optional<int> CpuQuota(const std::string& root) {
  std::optional<int> smallest;
  VisitControlGroups(
      root, "cpu", [&smallest](const std::string& directory, bool is_v2) {
        smallest = Smaller(smallest, QuotaOfGroup(directory, is_v2));
      });
  return smallest;
}

int UsableCpus(const std::string& root) {
  const int affinity = std::max(AffinityCpus(), 1);
  return std::min(affinity, CpuQuota(root).value_or(affinity));
}

}  // namespace rwkvd
