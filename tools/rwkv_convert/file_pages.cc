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

// Linux maps more than the page that is touched: its neighbors, or all of a
// huge page that the file lies in. So much around what is released goes, too.
constexpr uintptr_t kMappedAround = 2 << 20;

void GiveBack(uintptr_t begin, uintptr_t end) {
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

FilePages::FilePages() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Range range;
    char access[5];
    // Shared and read-only: nothing but files is, and dropping their pages
    // cannot lose anything.
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
    // Mappings begin at a page, and both bounds here at one, or at its end.
    const uintptr_t begin =
        std::max(range.begin, first / kMappedAround * kMappedAround);
    const uintptr_t end =
        std::min(range.end, (last / kMappedAround + 1) * kMappedAround);
    GiveBack(begin, end);
    return;
  }
}

void FilePages::ReleaseAll() const {
  for (const Range& range : files_) GiveBack(range.begin, range.end);
}

}  // namespace rwkvd
