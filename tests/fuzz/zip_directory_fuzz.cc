// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as a zip archive.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/checkpoint/zip_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

// Checks that the entries are sorted and have different names.
void CheckNames(absl::Span<const ZipEntry> entries) {
  for (size_t i = 1; i < entries.size(); ++i) {
    RWKVD_CHECK(entries[i - 1].name < entries[i].name);
  }
}

// Checks that the entries lie inside the archive and do not overlap.
void CheckPositions(std::vector<ZipEntry> entries,
                    absl::Span<const std::byte> bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const ZipEntry& a, const ZipEntry& b) {
              return a.data.data() < b.data.data();
            });
  const std::byte* begin = bytes.data();
  for (const ZipEntry& entry : entries) {
    RWKVD_CHECK(entry.data.data() >= begin);
    begin = entry.data.data() + entry.data.size();
  }
  RWKVD_CHECK(begin <= bytes.data() + bytes.size());
}

void Read(absl::Span<const std::byte> bytes) {
  auto entries = ReadZip(bytes, "input");
  if (!entries.ok()) {
    RWKVD_CHECK(entries.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  CheckNames(*entries);
  CheckPositions(*std::move(entries), bytes);
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsBytes(rwkvd::testing::AsText(data, size)));
  return 0;
}
