// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZIP_READER_H_
#define RWKVD_CORE_CHECKPOINT_ZIP_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// An entry of a zip archive. Views the archive's bytes.
struct ZipEntry {
  absl::string_view name;  // any bytes; "/" separates directories
  absl::Span<const std::byte> data;
  uint32_t crc32;  // of the data, according to the archive
};

// The entries of a zip archive, sorted by name in byte order. Only archives of
// a strict form are accepted: every entry in the directory is uncompressed,
// precedes the directory, does not overlap with others, and has a header that
// matches the directory. 64-bit archives (ZIP64) are supported. (PKWARE's
// APPNOTE.TXT, sections 4.3-4.5.)
//
// Does not verify checksums, which would read the whole file.
//
// Returns InvalidArgument if the archive has another form; the message begins
// with `where` and names the entry. Time and memory are linear in the size of
// the directory, with at most 100,000 entries. Of the rest of the archive, only
// the headers of entries are read.
absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::Span<const std::byte> bytes,
                                              absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZIP_READER_H_
