// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_
#define RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"

namespace rwkvd {

// Where in a zip archive its directory lies, in bytes.
struct ZipDirectory {
  uint64_t offset;
  uint64_t size;
  uint64_t num_entries;
};

// Finds the directory from the records at the archive's end, those of ZIP64
// included. It lies before them, and is large enough for its entries.
// InvalidArgument if there is none.
absl::StatusOr<ZipDirectory> FindZipDirectory(absl::Span<const std::byte> bytes,
                                              const FileError& error);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_
