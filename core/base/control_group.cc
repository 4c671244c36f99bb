// SPDX-License-Identifier: Apache-2.0
#include "core/base/control_group.h"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// Far more than the kernel ever writes; the rest of a longer file is ignored.
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxGroupDepth = 64;

// A mounted control-group hierarchy.
struct Hierarchy {
  std::string mount_point;
  std::string root;  // the group that the mount point shows
  bool is_v2 = false;
};

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
// a hierarchy that may have `controller`. The line reads
// `id parent device root mount-point options [tags] - type source options`.
std::optional<Hierarchy> ParseMount(absl::string_view line,
                                    absl::string_view controller) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  const std::vector<absl::string_view> left =
      absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  const std::vector<absl::string_view> right =
      absl::StrSplit(halves.second, ' ', absl::SkipEmpty());
  if (left.size() < 6 || right.size() < 3) return std::nullopt;
  const bool is_v2 = right[0] == "cgroup2";
  const bool is_v1 = right[0] == "cgroup" && ListHas(right[2], controller);
  if (!is_v2 && !is_v1) return std::nullopt;
  return Hierarchy{UnescapeOctal(left[4]), UnescapeOctal(left[3]), is_v2};
}

// The process's group in a hierarchy: a line of /proc/self/cgroup,
// `0::/path` for v2 and `number:controllers:/path` for v1.
std::optional<std::string> ProcessGroup(absl::string_view proc_cgroup,
                                        absl::string_view controller,
                                        bool is_v2) {
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool found = is_v2 ? fields[0] == "0" && fields[1].empty()
                             : ListHas(fields[1], controller);
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

// Calls `visit` for `group` and the groups above it, up to the mount point.
void VisitPath(const std::string& mount_point, std::string group, bool is_v2,
               VisitControlGroup visit) {
  for (int depth = 0; depth < kMaxGroupDepth; ++depth) {
    visit(absl::StrCat(mount_point, group), is_v2);
    if (group.empty()) return;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

std::string ReadStart(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

void VisitControlGroups(const std::string& root, absl::string_view controller,
                        VisitControlGroup visit) {
  const std::string proc_cgroup =
      ReadStart(absl::StrCat(root, "/proc/self/cgroup"));
  const std::string mounts =
      ReadStart(absl::StrCat(root, "/proc/self/mountinfo"));
  for (absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Hierarchy> mount = ParseMount(line, controller);
    if (!mount) continue;
    const std::optional<std::string> group =
        ProcessGroup(proc_cgroup, controller, mount->is_v2);
    if (!group) continue;
    VisitPath(absl::StrCat(root, mount->mount_point),
              PathBelowMount(*group, mount->root), mount->is_v2, visit);
  }
}

}  // namespace rwkvd
