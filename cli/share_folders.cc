// SPDX-License-Identifier: Apache-2.0
#include "cli/share_folders.h"

#include <errno.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

// Returns the share folder of the checkout that contains `path`, or "".
std::string CheckoutFolder(const fs::path& path) {
  std::error_code ignored;  // what cannot be read is no checkout
  fs::path folder = fs::absolute(path, ignored).lexically_normal();
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    if (fs::exists(folder / "WORKSPACE", ignored)) {
      return (folder / ".cache" / "share").string();
    }
  }
  return "";
}

void AddOnce(const std::string& folder, std::vector<std::string>* folders) {
  if (folder.empty()) return;
  if (std::find(folders->begin(), folders->end(), folder) == folders->end()) {
    folders->push_back(folder);
  }
}

}  // namespace

std::vector<std::string> ShareFolders(const std::string& given) {
  if (!given.empty()) return {given};
  std::error_code ignored;  // without /proc, the other folders remain
  return ShareFoldersOf(fs::read_symlink("/proc/self/exe", ignored).string(),
                        program_invocation_name);
}

std::vector<std::string> ShareFoldersOf(const std::string& program,
                                        const std::string& called_as) {
  std::vector<std::string> folders;
  const fs::path installed = fs::path(program).parent_path().parent_path();
  if (!program.empty()) {
    AddOnce((installed / "share" / "rwkvd").string(), &folders);
    AddOnce(CheckoutFolder(program), &folders);
  }
  // A name without a slash was found in $PATH.
  if (called_as.find('/') != called_as.npos) {
    AddOnce(CheckoutFolder(called_as), &folders);
  }
  AddOnce("/usr/share/rwkvd", &folders);
  return folders;
}

}  // namespace rwkvd
