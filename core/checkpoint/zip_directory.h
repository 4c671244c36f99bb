// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_
#define RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"

namespace rwkvd {

// The content of fields of 32 and 16 bits whose values are in a ZIP64 record or
// block.
constexpr uint32_t kInZip64 = 0xffffffff;
constexpr uint16_t kInZip64Short = 0xffff;

// The position of the directory in a zip archive, in bytes.
struct ZipDirectory {
  uint64_t offset;
  uint64_t size;
  uint64_t num_entries;
};

// Finds the directory by the records at the end of the archive, including those
// of ZIP64, and checks that it ends before them and has room for its entries.
// Up to 64 KiB after the archive's end are ignored.
// Returns InvalidArgument if these records are missing or inconsistent.
absl::StatusOr<ZipDirectory> FindZipDirectory(absl::Span<const std::byte> bytes,
                                              const FileError& error);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZIP_DIRECTORY_H_
