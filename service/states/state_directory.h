// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_DIRECTORY_H_
#define RWKVD_SERVICE_STATES_STATE_DIRECTORY_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// A directory of files that only the user of this process can access (mode
// 0700, files 0600). Symbolic links in it are not followed.
//
// The errors are those of the operating system, with paths. A value that owns a
// descriptor; thread-compatible. It is opened for each operation on the store,
// so that a directory that was removed, mounted or restored meanwhile is
// noticed.
class StateDirectory {
 public:
  struct File {
    std::string name;
    int64_t bytes = 0;
    absl::Time modified;
    bool is_private = true;  // whether only its owner can access it
  };

  // Creates the directory if it does not exist. Makes an existing one private
  // if it contains no other files than those for which `is_own` is true.
  // PermissionDenied if it belongs to another user, or if other users can
  // access it and it contains other files.
  static absl::Status Prepare(
      const std::string& path,
      absl::FunctionRef<bool(absl::string_view)> is_own);

  // Opens a directory that has been prepared. If other users have been given
  // access to it since, it is made private again. PermissionDenied if it
  // belongs to another user.
  static absl::StatusOr<StateDirectory> Open(const std::string& path);

  StateDirectory(StateDirectory&& other) noexcept
      : path_(std::move(other.path_)),
        fd_(std::exchange(other.fd_, -1)),
        info_(other.info_) {}
  StateDirectory& operator=(StateDirectory&&) = delete;
  ~StateDirectory();

  // The regular files.
  absl::StatusOr<std::vector<File>> List() const;

  // A file and its bytes. Reads them instead of mapping them, since another
  // process may truncate the file. NotFound if there is no such file. DataLoss
  // if it is not a regular file, is empty, has more than `max_bytes`, or ends
  // while it is read.
  struct Contents {
    File file;
    std::string bytes;
  };
  absl::StatusOr<Contents> Read(const std::string& name,
                                int64_t max_bytes) const;

  // Writes a file; see ReplacePrivateFile.
  absl::Status Write(const std::string& name, absl::string_view bytes,
                     absl::Time modified) const;

  // Changes the mode of a file to 0600.
  absl::Status MakePrivate(const std::string& name) const;

  // Whether there is a file with this name. True if that is not known.
  bool MayContain(const std::string& name) const;

  // Returns whether there was such a file.
  absl::StatusOr<bool> Delete(const std::string& name) const;

  // Tries out whether files can be created. Returns the time of the file
  // system's clock. `name` is the name of a file for this purpose.
  absl::StatusOr<absl::Time> TryOut(const std::string& name) const;

  // Whether this is the directory that `other` was when it was opened.
  bool IsSameAs(const struct stat& other) const {
    return info_.st_dev == other.st_dev && info_.st_ino == other.st_ino;
  }
  const struct stat& info() const { return info_; }

 private:
  StateDirectory(std::string path, int fd, const struct stat& info)
      : path_(std::move(path)), fd_(fd), info_(info) {}

  static absl::StatusOr<StateDirectory> OpenOwn(const std::string& path);
  bool IsPrivate() const { return (info_.st_mode & 0077) == 0; }
  absl::Status ChangeOwnMode() const;
  absl::StatusOr<std::vector<std::string>> Names() const;
  absl::Status Error(absl::string_view operation, absl::string_view name) const;

  std::string path_;
  int fd_;
  struct stat info_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_DIRECTORY_H_
