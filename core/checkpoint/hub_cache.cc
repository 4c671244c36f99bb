// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/hub_cache.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/base/file_error.h"
#include "core/base/mapped_file.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRevisionBytes = 255;  // as the name of a directory
constexpr absl::string_view kModelPrefix = "models--";
constexpr char kCacheName[] = "hub";
constexpr char kSnapshots[] = "snapshots";
constexpr size_t kMaxListedSnapshots = 5;  // snapshots in a message

bool IsDirectory(const fs::path& path) {
  std::error_code ignored;  // then it cannot be used as one
  return fs::is_directory(path, ignored);
}

// The revision in refs/main; "" if it is not the name of a directory.
std::string MainRevision(const fs::path& repository) {
  const auto file = MappedFile::Open((repository / "refs" / "main").string());
  if (!file.ok()) return "";
  const absl::Span<const std::byte> bytes = (*file)->bytes();
  if (bytes.size() > kMaxRevisionBytes) return "";
  const std::string revision(absl::StripAsciiWhitespace(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  const bool is_plain = revision.find('/') == std::string::npos &&
                        revision.find('\0') == std::string::npos &&
                        revision != "." && revision != "..";
  return is_plain ? revision : "";
}

std::vector<std::string> DirectoriesIn(const fs::path& directory) {
  std::error_code error;  // what cannot be listed is not found
  std::vector<std::string> found;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (IsDirectory(it->path())) found.push_back(it->path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Whether it is a repository's directory in the cache.
bool IsRepository(const fs::path& path) {
  return IsDirectory(path / kSnapshots) &&
         (IsDirectory(path / "refs") || IsDirectory(path / "blobs"));
}

// The repository's directory that `directory` is, or whose snapshots it holds.
std::optional<fs::path> RepositoryOf(const fs::path& directory) {
  if (IsRepository(directory)) return directory;
  fs::path path = directory.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // it ends in a slash
  if (path.filename() != kSnapshots || !path.has_parent_path() ||
      !IsRepository(path.parent_path())) {
    return std::nullopt;
  }
  return path.parent_path();
}

}  // namespace

absl::StatusOr<std::string> FindSnapshot(const std::string& directory) {
  const std::optional<fs::path> found_repository = RepositoryOf(directory);
  if (!found_repository.has_value()) return directory;
  const fs::path& repository = *found_repository;
  const fs::path snapshots = repository / kSnapshots;
  const std::string revision = MainRevision(repository);
  if (!revision.empty() && IsDirectory(snapshots / revision)) {
    return (snapshots / revision).string();
  }
  const std::vector<std::string> found = DirectoriesIn(snapshots);
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat(directory,
                     ": this directory of the Hugging Face cache has no "
                     "snapshot; the download has not finished"));
  }
  const size_t listed = std::min(found.size(), kMaxListedSnapshots);
  return FileError(directory)(
      "this directory of the Hugging Face cache has ", found.size(),
      " snapshots, and refs/main names none of them; name one of them: ",
      absl::StrJoin(found.begin(), found.begin() + listed, ", "),
      listed < found.size() ? ", ..." : "");
}

std::vector<std::string> ModelsInHubCache(const std::string& directory) {
  std::vector<std::string> found = DirectoriesIn(directory);
  found.erase(std::remove_if(found.begin(), found.end(),
                             [](const std::string& path) {
                               return !absl::StartsWith(
                                   fs::path(path).filename().string(),
                                   kModelPrefix);
                             }),
              found.end());
  const fs::path hub = fs::path(directory) / kCacheName;
  if (found.empty() && IsDirectory(hub) &&
      fs::path(directory).filename() != kCacheName) {
    return ModelsInHubCache(hub.string());
  }
  return found;
}

}  // namespace rwkvd
