// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_FILE_PAGES_H_
#define RWKVD_TOOLS_RWKV_CONVERT_FILE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// The files that the process had mapped read-only when this object was made.
// Releases their pages after use, so that reading a large file does not fill
// the memory. A value.
class FilePages {
 public:
  FilePages();

  // Releases the pages of `bytes`; the next access maps them again. Does
  // nothing if `bytes` are not in such a file.
  void Release(absl::Span<const std::byte> bytes) const;
  void ReleaseAll() const;

 private:
  struct Range {
    uintptr_t begin;
    uintptr_t end;
  };

  std::vector<Range> files_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_FILE_PAGES_H_
