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
// Owned through a shared_ptr by whoever holds views into it. Thread-safe
// (immutable). Pages are read from disk when first touched; pages of a file
// that two processes map are shared between them.
class MappedFile {
 public:
  // NotFound if `path` does not exist, InvalidArgument if it is not a regular
  // file, PermissionDenied or Internal as the operating system reports; the
  // message names the path. An empty file is mapped as zero bytes.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(
      const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Valid and constant until destruction, as long as nobody shortens the file.
  absl::Span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Reads the pages of [begin, begin + size) now, so that touching them later
  // need not wait for the disk. The range lies within bytes().
  void Preload(size_t begin, size_t size) const;

 private:
  MappedFile(std::string path, absl::Span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  const std::string path_;
  const absl::Span<const std::byte> bytes_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MAPPED_FILE_H_
