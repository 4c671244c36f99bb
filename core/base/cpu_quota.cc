// SPDX-License-Identifier: Apache-2.0
#include "core/base/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// Far more than the kernel ever writes; the rest of a longer file is ignored.
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxGroupDepth = 64;

// A mounted control-group hierarchy that can carry a CPU quota.
struct Hierarchy {
  std::string mount_point;
  std::string root;  // the group that the mount point shows
  bool is_v2 = false;
};

// The first kMaxFileBytes of a file; empty if it cannot be read.
std::string ReadStart(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

// Undoes the escapes of mountinfo, which writes a space, tab, newline or
// backslash as a backslash and three octal digits.
std::string UnescapeOctal(absl::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
        is_octal(text[i + 2]) && is_octal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 +
                                      (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool ListHas(absl::string_view comma_separated, absl::string_view word) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(comma_separated, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Parses one line of /proc/self/mountinfo (see proc(5)); empty unless it mounts
// a hierarchy that can carry a CPU quota. The line reads
// `id parent device root mount-point options [tags] - type source options`.
std::optional<Hierarchy> ParseMount(absl::string_view line) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  const std::vector<absl::string_view> left =
      absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  const std::vector<absl::string_view> right =
      absl::StrSplit(halves.second, ' ', absl::SkipEmpty());
  if (left.size() < 6 || right.size() < 3) return std::nullopt;
  const bool is_v2 = right[0] == "cgroup2";
  const bool is_v1_cpu = right[0] == "cgroup" && ListHas(right[2], "cpu");
  if (!is_v2 && !is_v1_cpu) return std::nullopt;
  return Hierarchy{UnescapeOctal(left[4]), UnescapeOctal(left[3]), is_v2};
}

// The process's group in a hierarchy: a line of /proc/self/cgroup,
// `0::/path` for v2 and `number:controllers:/path` for v1.
std::optional<std::string> ProcessGroup(absl::string_view proc_cgroup,
                                        bool is_v2) {
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool found = is_v2 ? fields[0] == "0" && fields[1].empty()
                             : ListHas(fields[1], "cpu");
    if (found) return std::string(fields[2]);
  }
  return std::nullopt;
}

// The path of `group` relative to the mount point that shows the group `root`:
// "" or "/a/b". A container without its own cgroup namespace sees its group's
// full path in /proc, but only a subtree is mounted. For a group outside that
// subtree the result is "", the mount point itself.
std::string PathBelowMount(absl::string_view group, absl::string_view root) {
  absl::ConsumeSuffix(&root, "/");
  const bool below = absl::ConsumePrefix(&group, root) &&
                     (group.empty() || group.front() == '/');
  if (!below || absl::StrContains(group, "/..")) return "";
  absl::ConsumeSuffix(&group, "/");
  return std::string(group);
}

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

std::optional<int> SmallestOnPath(const std::string& mount_point,
                                  std::string group, bool is_v2) {
  std::optional<int> smallest;
  for (int depth = 0; depth < kMaxGroupDepth; ++depth) {
    smallest = Smaller(smallest,
                       QuotaOfGroup(absl::StrCat(mount_point, group), is_v2));
    if (group.empty()) break;
    group.resize(group.rfind('/'));
  }
  return smallest;
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
  const std::string proc_cgroup =
      ReadStart(absl::StrCat(root, "/proc/self/cgroup"));
  const std::string mounts =
      ReadStart(absl::StrCat(root, "/proc/self/mountinfo"));
  std::optional<int> smallest;
  for (absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Hierarchy> mount = ParseMount(line);
    if (!mount) continue;
    const std::optional<std::string> group =
        ProcessGroup(proc_cgroup, mount->is_v2);
    if (!group) continue;
    smallest =
        Smaller(smallest, SmallestOnPath(absl::StrCat(root, mount->mount_point),
                                         PathBelowMount(*group, mount->root),
                                         mount->is_v2));
  }
  return smallest;
}

int UsableCpus(const std::string& root) {
  const int affinity = std::max(AffinityCpus(), 1);
  return std::min(affinity, CpuQuota(root).value_or(affinity));
}

}  // namespace rwkvd
