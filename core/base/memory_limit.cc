// SPDX-License-Identifier: Apache-2.0
#include "core/base/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/control_group.h"

namespace rwkvd {
namespace {

// The memory of a process in pages; see /proc/[pid]/statm in proc(5).
struct Pages {
  int64_t virtual_size = 0;
  int64_t resident = 0;
  int64_t shared = 0;  // resident pages of files
  int64_t data = 0;    // private and writable, resident or not
};

// Zeros if the file cannot be read.
Pages ReadPages(const std::string& root) {
  const std::string text = ReadStart(absl::StrCat(root, "/proc/self/statm"));
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  Pages pages;
  const bool ok = fields.size() >= 6 &&
                  absl::SimpleAtoi(fields[0], &pages.virtual_size) &&
                  absl::SimpleAtoi(fields[1], &pages.resident) &&
                  absl::SimpleAtoi(fields[2], &pages.shared) &&
                  absl::SimpleAtoi(fields[5], &pages.data);
  return ok ? pages : Pages();
}

// The number in the file at `path`; empty if there is none, as in "max".
std::optional<int64_t> NumberIn(const std::string& path) {
  int64_t bytes = 0;
  const std::string text = ReadStart(path);
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &bytes) ||
      bytes <= 0) {
    return std::nullopt;
  }
  return bytes;
}

// MemTotal of /proc/meminfo; empty if it is unknown.
std::optional<int64_t> PhysicalMemory(const std::string& root) {
  const std::string text = ReadStart(absl::StrCat(root, "/proc/meminfo"));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    int64_t kib = 0;
    if (!absl::ConsumePrefix(&line, "MemTotal:") ||
        !absl::ConsumeSuffix(&line, " kB") ||
        !absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &kib)) {
      continue;
    }
    if (kib > 0 && kib <= std::numeric_limits<int64_t>::max() >> 10) {
      return kib << 10;
    }
  }
  return std::nullopt;
}

void Lower(std::optional<int64_t> bytes, absl::string_view source,
           MemoryLimit* limit) {
  if (!bytes.has_value() || *bytes >= limit->bytes) return;
  *limit = {*bytes, std::string(source)};
}

// Lowers the limit to what a resource limit leaves. `counted` pages count
// toward it, but only `anonymous` ones of them are in use.
void LowerToResource(int resource, absl::string_view name, int64_t counted,
                     int64_t anonymous, MemoryLimit* limit) {
  rlimit bounds;
  if (getrlimit(static_cast<__rlimit_resource_t>(resource), &bounds) != 0 ||
      bounds.rlim_cur >
          static_cast<rlim_t>(std::numeric_limits<int64_t>::max())) {
    return;
  }
  const int64_t unused =
      std::max<int64_t>(counted - anonymous, 0) * sysconf(_SC_PAGESIZE);
  Lower(std::max<int64_t>(static_cast<int64_t>(bounds.rlim_cur) - unused, 0),
        name, limit);
}

}  // namespace

MemoryLimit DetectMemoryLimit(const std::string& root) {
  MemoryLimit limit{std::numeric_limits<int64_t>::max(), "no limit"};
  Lower(PhysicalMemory(root), "physical memory", &limit);
  VisitControlGroups(
      root, "memory", [&limit](const std::string& directory, bool is_v2) {
        for (const char* file :
             is_v2 ? std::vector<const char*>{"memory.max", "memory.high"}
                   : std::vector<const char*>{"memory.limit_in_bytes"}) {
          const std::string path = absl::StrCat(directory, "/", file);
          Lower(NumberIn(path), path, &limit);
        }
      });
  const Pages pages = ReadPages(root);
  const int64_t anonymous = pages.resident - pages.shared;
  LowerToResource(RLIMIT_AS, "RLIMIT_AS", pages.virtual_size, anonymous,
                  &limit);
  LowerToResource(RLIMIT_DATA, "RLIMIT_DATA", pages.data, anonymous, &limit);
  return limit;
}

int64_t AnonymousMemory(const std::string& root) {
  const Pages pages = ReadPages(root);
  return std::max<int64_t>(pages.resident - pages.shared, 0) *
         sysconf(_SC_PAGESIZE);
}

}  // namespace rwkvd
