// SPDX-License-Identifier: Apache-2.0
#include "service/states/directory_state_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "service/states/state_handle.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kEnding = ".state";

// Ending of a draft; see ReplaceFile. A draft of this age was left by a process
// that has ended.
constexpr absl::string_view kDraftEnding = ".tmp";
constexpr absl::Duration kDraftAge = absl::Hours(1);

absl::Status SystemError(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", doing, " ", path));
}

// The time when the state in a file with this name expires; nullopt for other
// files.
std::optional<absl::Time> ExpiryOfFile(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, kEnding)) return std::nullopt;
  return ExpiryOf(name);
}

bool IsOldDraft(absl::string_view name, const struct stat& file,
                absl::Time now) {
  const size_t ending = name.find(kEnding);
  return ending != absl::string_view::npos &&
         absl::EndsWith(name, kDraftEnding) &&
         ExpiryOf(name.substr(0, ending)).has_value() &&
         now - absl::TimeFromTimespec(file.st_mtim) > kDraftAge;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryStateStore>> DirectoryStateStore::Open(
    const std::string& directory, int64_t max_bytes, absl::Time now) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError("make", directory);
  }
  if (access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    return SystemError("use", directory);
  }
  std::unique_ptr<DirectoryStateStore> store(
      new DirectoryStateStore(directory, max_bytes));
  absl::MutexLock lock(&store->mutex_);
  RWKVD_RETURN_IF_ERROR(store->Sweep(now));
  return store;
}

std::string DirectoryStateStore::PathOf(absl::string_view handle) const {
  return absl::StrCat(directory_, "/", handle, kEnding);
}

absl::StatusOr<std::string> DirectoryStateStore::Put(std::string bytes,
                                                     absl::Time now,
                                                     absl::Time expires) {
  const auto size = static_cast<int64_t>(bytes.size());
  absl::MutexLock lock(&mutex_);
  RWKVD_RETURN_IF_ERROR(Sweep(now));
  if (figures_.bytes + size > max_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the state store has no room for ", size, " bytes: ", figures_.bytes,
        " of ", max_bytes_, " are in use (--state_store_mib)"));
  }
  std::string handle = NewStateHandle(expires);
  RWKVD_RETURN_IF_ERROR(ReplaceFile(PathOf(handle), bytes));
  ++figures_.handles;
  figures_.bytes += size;
  return handle;
}

absl::StatusOr<std::shared_ptr<const std::string>> DirectoryStateStore::Get(
    absl::string_view handle, absl::Time now) {
  const std::optional<absl::Time> expiry = ExpiryOf(handle);
  if (!expiry.has_value() || *expiry <= now) return NoSuchState(handle, now);
  const auto file = MappedFile::Open(PathOf(handle));
  if (absl::IsNotFound(file.status())) return NoSuchState(handle, now);
  RWKVD_RETURN_IF_ERROR(file.status());
  const absl::Span<const std::byte> bytes = (*file)->bytes();
  return std::make_shared<const std::string>(
      reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

absl::Status DirectoryStateStore::Delete(absl::string_view handle,
                                         absl::Time now) {
  const std::optional<absl::Time> expiry = ExpiryOf(handle);
  if (!expiry.has_value()) return NoSuchState(handle, now);
  const std::string path = PathOf(handle);
  const bool is_gone = unlink(path.c_str()) == 0;
  if (!is_gone && errno != ENOENT) return SystemError("delete", path);
  absl::MutexLock lock(&mutex_);
  RWKVD_RETURN_IF_ERROR(Sweep(now));
  return is_gone && now < *expiry ? absl::OkStatus() : NoSuchState(handle, now);
}

absl::Status DirectoryStateStore::Sweep(absl::Time now) {
  DIR* const directory = opendir(directory_.c_str());
  if (directory == nullptr) return SystemError("read", directory_);
  const absl::Cleanup close = [directory] { closedir(directory); };
  figures_ = {};
  while (const dirent* const entry = readdir(directory)) {
    const absl::string_view name = entry->d_name;
    struct stat file;
    const int fd = dirfd(directory);
    if (fstatat(fd, entry->d_name, &file, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(file.st_mode)) {
      continue;
    }
    const std::optional<absl::Time> expiry = ExpiryOfFile(name);
    if (expiry.has_value() ? *expiry <= now : IsOldDraft(name, file, now)) {
      unlinkat(fd, entry->d_name, 0);
    } else if (expiry.has_value()) {
      ++figures_.handles;
      figures_.bytes += file.st_size;
    }
  }
  return absl::OkStatus();
}

StateStore::Figures DirectoryStateStore::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

}  // namespace rwkvd
