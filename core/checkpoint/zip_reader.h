// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ZIP_READER_H_
#define RWKVD_CORE_CHECKPOINT_ZIP_READER_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// A file inside a zip archive: views into the archive's bytes.
struct ZipEntry {
  absl::string_view name;  // any bytes, "/" between folders
  absl::Span<const std::byte> data;
};

// The entries of a zip archive, by name in byte order. They are those that the
// directory at the end lists; each must be stored as it is, in a place of its
// own before the directory, behind a header that agrees. 64-bit archives
// (ZIP64) are read too. (PKWARE's APPNOTE.TXT, sections 4.3-4.5.)
//
// Checksums are not compared: that would read the whole file.
//
// InvalidArgument if `bytes` break any of this; the message begins with
// `where` and names the entry. Time and memory are linear in the directory,
// with at most 100,000 entries; of the rest only the entries' headers are read.
absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::Span<const std::byte> bytes,
                                              absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ZIP_READER_H_
