// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_MAPPED_FILE_H_
#define RWKVD_CORE_BASE_MAPPED_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/mapping_faults.h"

namespace rwkvd {

// A regular file mapped read-only into memory.
//
// Shared ownership: every holder of views into the file keeps a shared_ptr to
// it. Thread-safe (immutable). The operating system reads a page from disk when
// it is first accessed, and shares the pages among all processes.
//
// A file that other processes change or truncate cannot be used any more:
// CheckUnchanged reports it. See mapping_faults.h for truncated files. A file
// is replaced safely by renaming another one to its path.
class MappedFile {
 public:
  // Maps the file at `path`, which may be empty. Returns NotFound if it does
  // not exist, InvalidArgument if it is not a regular file, ResourceExhausted
  // if too many files are mapped, or the status of the system call that failed,
  // such as PermissionDenied. Messages name the path.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(
      const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // The contents. Valid and constant until destruction, provided that no
  // process truncates or changes the file.
  absl::Span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Reads the pages of bytes [begin, begin + size) from disk now, so that later
  // accesses need not wait. The range must lie within bytes().
  void Preload(size_t begin, size_t size) const;

  // Reads the bytes [begin, begin + dst.size()), which must lie within bytes(),
  // from the file without mapping pages. Returns DataLoss if the file has
  // become shorter, or the error of the system call, with the path.
  absl::Status Read(size_t begin, absl::Span<std::byte> dst) const;

  // Lets the process give up the memory of those pages that lie entirely within
  // bytes [begin, begin + size), since their contents were copied. An access
  // reads them again; an access to bytes next to them does not.
  void Release(size_t begin, size_t size) const;

  // DataLoss, with the path, if the bytes are no longer those that were mapped:
  // the file has another size or modification time, or pages of it could not be
  // read. Asks the file system, but reads no data.
  absl::Status CheckUnchanged() const;

  // Whether a page could not be read, so that the bytes are now zeros. Makes no
  // system call.
  bool is_lost() const {
    return registration_.has_value() && registration_->is_lost();
  }

  // Whether the path leads to another file now. That does not change bytes().
  bool IsReplaced() const;

 private:
  // Takes ownership of the descriptor `fd`.
  MappedFile(std::string path, int fd, const struct stat& info)
      : path_(std::move(path)), fd_(fd), info_(info) {}

  absl::Status Map();

  const std::string path_;
  const int fd_;            // kept to examine the file later
  const struct stat info_;  // when the file was opened
  absl::Span<const std::byte> bytes_;
  std::optional<MappingRegistration> registration_;  // none if bytes_ is empty
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MAPPED_FILE_H_
