// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_MAPPED_FILE_H_
#define RWKVD_CORE_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace rwkvd {

// A regular file mapped read-only into memory.
//
// Shared ownership: every holder of views into the file keeps a shared_ptr to
// it. Thread-safe (immutable). The operating system reads a page from disk when
// it is first accessed, and shares the pages among all processes.
class MappedFile {
 public:
  // Maps the file at `path`, which may be empty. Returns NotFound if it does
  // not exist, InvalidArgument if it is not a regular file, or the status of
  // the system call that failed, such as PermissionDenied. Messages name the
  // path.
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

 private:
  MappedFile(std::string path, absl::Span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  const std::string path_;
  const absl::Span<const std::byte> bytes_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MAPPED_FILE_H_
