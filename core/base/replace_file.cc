// SPDX-License-Identifier: Apache-2.0
#include "core/base/replace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

absl::Status WriteError(absl::string_view operation, absl::string_view path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot ", operation, " ", path));
}

// A random unused name in the same directory.
std::string TemporaryName(const std::string& path) {
  std::random_device random;
  const uint64_t number = (uint64_t{random()} << 32) | random();
  return absl::StrCat(path, ".", absl::Hex(number, absl::kZeroPad16), ".tmp");
}

absl::Status WriteAll(int fd, absl::string_view bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError("write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// What is the same for all steps of one replacement.
struct Replacement {
  int directory_fd = AT_FDCWD;         // to which names are relative
  mode_t mode = 0666;                  // without the bits of the umask
  std::optional<absl::Time> modified;  // now, if there is none
};

// Sets the modification time of the file, if that is asked for.
absl::Status SetTime(int fd, const Replacement& how, const std::string& name) {
  if (!how.modified.has_value()) return absl::OkStatus();
  const timespec time = absl::ToTimespec(*how.modified);
  const timespec times[2] = {time, time};
  if (futimens(fd, times) == 0) return absl::OkStatus();
  return WriteError("set the time of", name);
}

// Creates a file and flushes it to disk.
absl::Status WriteNewFile(const Replacement& how, const std::string& temporary,
                          absl::string_view bytes) {
  const int fd =
      openat(how.directory_fd, temporary.c_str(),
             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, how.mode);
  if (fd < 0) return WriteError("create", temporary);
  absl::Cleanup close_fd = [fd] { close(fd); };
  RWKVD_RETURN_IF_ERROR(WriteAll(fd, bytes, temporary));
  RWKVD_RETURN_IF_ERROR(SetTime(fd, how, temporary));
  if (fsync(fd) != 0) return WriteError("write", temporary);
  std::move(close_fd).Cancel();
  if (close(fd) != 0) return WriteError("write", temporary);
  return absl::OkStatus();
}

// Writes the file without making its name durable.
absl::Status Replace(const Replacement& how, const std::string& name,
                     absl::string_view bytes) {
  const std::string temporary = TemporaryName(name);
  absl::Status status = WriteNewFile(how, temporary, bytes);
  if (status.ok() && renameat(how.directory_fd, temporary.c_str(),
                              how.directory_fd, name.c_str()) != 0) {
    status = WriteError("write", name);
  }
  if (!status.ok()) unlinkat(how.directory_fd, temporary.c_str(), 0);
  return status;
}

// Flushes the directory of `path` to disk, which makes a rename in it durable.
absl::Status SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return WriteError("open", directory);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return fsync(fd) == 0 ? absl::OkStatus() : WriteError("write", directory);
}

}  // namespace

absl::Status ReplaceFile(const std::string& path, absl::string_view bytes) {
  RWKVD_RETURN_IF_ERROR(Replace({}, path, bytes));
  return SyncDirectoryOf(path);
}

absl::Status ReplacePrivateFile(int directory_fd, const std::string& name,
                                absl::string_view bytes, absl::Time modified) {
  const Replacement how = {
      .directory_fd = directory_fd, .mode = 0600, .modified = modified};
  RWKVD_RETURN_IF_ERROR(Replace(how, name, bytes));
  if (fsync(directory_fd) == 0) return absl::OkStatus();
  return WriteError("write", "the directory of " + name);
}

}  // namespace rwkvd
