// SPDX-License-Identifier: Apache-2.0
#include "service/states/state_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "service/log.h"

namespace rwkvd {
namespace {

// Every ext4 file system has a directory of this name in its root.
constexpr absl::string_view kLostAndFound = "lost+found";

absl::Status SystemError(absl::string_view operation, absl::string_view path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot ", operation, " ", path));
}

// Fills `bytes` from the start of the file. Returns false if the file ends
// before, and sets errno if it cannot be read.
bool ReadAll(int fd, std::string* bytes) {
  size_t done = 0;
  errno = 0;
  while (done < bytes->size()) {
    const ssize_t got = read(fd, bytes->data() + done, bytes->size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

absl::Time ModifiedAt(const struct stat& info) {
  return absl::TimeFromTimespec(info.st_mtim);
}

}  // namespace

StateDirectory::~StateDirectory() {
  if (fd_ >= 0) close(fd_);
}

absl::Status StateDirectory::Error(absl::string_view operation,
                                   absl::string_view name) const {
  return SystemError(operation, absl::StrCat(path_, "/", name));
}

absl::StatusOr<StateDirectory> StateDirectory::OpenOwn(
    const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    const absl::Status status = SystemError("examine", path);
    close(fd);
    return status;
  }
  StateDirectory directory(path, fd, info);
  if (info.st_uid == geteuid()) return directory;
  return absl::PermissionDeniedError(absl::StrCat(
      path, " belongs to user ", info.st_uid, ", expected user ", geteuid(),
      ", who runs this server: choose a directory in it, which the server will "
      "create"));
}

absl::Status StateDirectory::ChangeOwnMode() const {
  if (fchmod(fd_, 0700) != 0) return SystemError("change the mode of", path_);
  LogWarning(absl::StrCat("other users could access ", path_,
                          ": changed its mode to 0700"));
  return absl::OkStatus();
}

absl::Status StateDirectory::Prepare(
    const std::string& path,
    absl::FunctionRef<bool(absl::string_view)> is_own) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError("make", path);
  }
  RWKVD_ASSIGN_OR_RETURN(const StateDirectory directory, OpenOwn(path));
  if (!directory.IsPrivate()) {
    RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           directory.Names());
    const auto other =
        std::find_if(names.begin(), names.end(), [&](const std::string& name) {
          return name != kLostAndFound && !is_own(name);
        });
    if (other != names.end()) {
      return absl::PermissionDeniedError(
          absl::StrCat("other users can access ", path,
                       ", and it contains other files (", Quoted(*other),
                       "): choose a directory for saved states only, or run "
                       "chmod 700 ",
                       path));
    }
    RWKVD_RETURN_IF_ERROR(directory.ChangeOwnMode());
  }
  if (faccessat(directory.fd_, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
    return absl::OkStatus();
  }
  return SystemError("use", path);
}

absl::StatusOr<StateDirectory> StateDirectory::Open(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(StateDirectory directory, OpenOwn(path));
  if (!directory.IsPrivate()) RWKVD_RETURN_IF_ERROR(directory.ChangeOwnMode());
  return directory;
}

absl::StatusOr<std::vector<std::string>> StateDirectory::Names() const {
  // The stream closes its descriptor, and needs a read position of its own.
  const int fd = openat(fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const stream = fd < 0 ? nullptr : fdopendir(fd);
  if (stream == nullptr) {
    const absl::Status status = SystemError("read", path_);
    if (fd >= 0) close(fd);
    return status;
  }
  const absl::Cleanup close_stream = [stream] { closedir(stream); };
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* const entry = readdir(stream)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return SystemError("read", path_);
  return names;
}

absl::StatusOr<std::vector<StateDirectory::File>> StateDirectory::List() const {
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> names, Names());
  std::vector<File> files;
  for (std::string& name : names) {
    struct stat info;
    if (fstatat(fd_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      continue;
    }
    files.push_back({std::move(name), info.st_size, ModifiedAt(info),
                     (info.st_mode & 0077) == 0});
  }
  return files;
}

absl::StatusOr<StateDirectory::Contents> StateDirectory::Read(
    const std::string& name, int64_t max_bytes) const {
  // With O_NONBLOCK, a pipe is opened at once and refused below.
  const int fd =
      openat(fd_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const std::string path = absl::StrCat(path_, "/", name);
  if (fd < 0 && errno == ELOOP) {
    return absl::DataLossError(absl::StrCat(path, ": is a symbolic link"));
  }
  if (fd < 0) return SystemError("open", path);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("examine", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::DataLossError(absl::StrCat(path, ": expected a regular file"));
  }
  if (info.st_size == 0 || info.st_size > max_bytes) {
    return absl::DataLossError(absl::StrCat(
        path, ": has ", info.st_size, " bytes, expected 1 to ", max_bytes));
  }
  Contents contents = {{name, info.st_size, ModifiedAt(info)}, {}};
  contents.bytes.resize(static_cast<size_t>(info.st_size));
  if (ReadAll(fd, &contents.bytes)) return contents;
  if (errno != 0) return SystemError("read", path);
  return absl::DataLossError(absl::StrCat(path, ": became shorter than ",
                                          info.st_size,
                                          " bytes while it was read"));
}

absl::Status StateDirectory::Write(const std::string& name,
                                   absl::string_view bytes,
                                   absl::Time modified) const {
  const absl::Status status = ReplacePrivateFile(fd_, name, bytes, modified);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path_, ": ", status.message()));
}

absl::Status StateDirectory::MakePrivate(const std::string& name) const {
  const int fd =
      openat(fd_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return Error("open", name);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return fchmod(fd, 0600) == 0 ? absl::OkStatus()
                               : Error("change the mode of", name);
}

bool StateDirectory::MayContain(const std::string& name) const {
  struct stat info;
  return fstatat(fd_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 ||
         errno != ENOENT;
}

absl::StatusOr<bool> StateDirectory::Delete(const std::string& name) const {
  if (unlinkat(fd_, name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  return Error("delete", name);
}

absl::StatusOr<absl::Time> StateDirectory::TryOut(
    const std::string& name) const {
  const int fd =
      openat(fd_, name.c_str(),
             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return Error("create", name);
  struct stat info;
  const bool is_known = fstat(fd, &info) == 0;
  close(fd);
  if (unlinkat(fd_, name.c_str(), 0) != 0) return Error("delete", name);
  return is_known ? ModifiedAt(info) : absl::InfinitePast();
}

}  // namespace rwkvd
