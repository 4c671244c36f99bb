// SPDX-License-Identifier: Apache-2.0
#include "service/port_file.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "core/base/replace_file.h"

namespace rwkvd {
namespace {

// Whether the path names something other than a file or a link, which a rename
// would replace or not be able to replace: a directory, a device, a pipe.
bool IsSpecial(const std::string& path) {
  struct stat found;
  if (stat(path.c_str(), &found) == 0) return !S_ISREG(found.st_mode);
  return lstat(path.c_str(), &found) == 0 && !S_ISLNK(found.st_mode);
}

}  // namespace

absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics,
                           const std::string& health) {
  if (IsSpecial(path)) {
    return absl::UnavailableError(absl::StrCat(
        "--port_file: cannot write ", path, ": it is not a regular file"));
  }
  std::string text = absl::StrCat("grpc=", grpc, "\n");
  if (!metrics.empty()) absl::StrAppend(&text, "metrics=", metrics, "\n");
  if (!health.empty()) absl::StrAppend(&text, "health=", health, "\n");
  const absl::Status status = ReplaceFile(path, text);
  if (status.ok()) return status;
  return absl::UnavailableError(
      absl::StrCat("--port_file: ", status.message()));
}

}  // namespace rwkvd
