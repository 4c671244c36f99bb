// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/file_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace rwkvd {
namespace {

// Linux maps more than the page that is accessed: adjacent pages, or a whole
// huge page of the file. So the surroundings of the bytes are released, too, up
// to multiples of this size.
constexpr uintptr_t kMappedAround = 2 << 20;

void ReleasePages(uintptr_t begin, uintptr_t end) {
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

FilePages::FilePages() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Range range;
    char access[5];
    // Only files are mapped shared and read-only, and to release their pages
    // loses no data.
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &range.begin,
                    &range.end, access) == 3 &&
        std::string(access) == "r--s") {
      files_.push_back(range);
    }
  }
}

void FilePages::Release(absl::Span<const std::byte> bytes) const {
  if (bytes.empty()) return;
  const uintptr_t first = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t last = first + bytes.size();
  for (const Range& range : files_) {
    if (first < range.begin || last > range.end) continue;
    // Both bounds are bounds of pages, because mappings begin and end at pages.
    const uintptr_t begin =
        std::max(range.begin, first / kMappedAround * kMappedAround);
    const uintptr_t end =
        std::min(range.end, (last / kMappedAround + 1) * kMappedAround);
    ReleasePages(begin, end);
    return;
  }
}

void FilePages::ReleaseAll() const {
  for (const Range& range : files_) ReleasePages(range.begin, range.end);
}

}  // namespace rwkvd
