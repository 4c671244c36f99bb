// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_ZIP_WRITER_H_
#define RWKVD_TESTS_TESTING_ZIP_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::testing {

// CRC-32 as zip files have it.
uint32_t Crc32(absl::string_view bytes);

// A number's low `size` bytes, the lowest first.
std::string LittleEndian(uint64_t value, int size);

// A zip file of stored entries, byte for byte as torch.save lays one out: the
// local headers hold neither sizes nor checksums, which follow the data and
// stand in the directory; an extra field "FB" pads each header so that the
// data lies at a multiple of 64 bytes; the zip64 end record is always there.
class ZipWriter {
 public:
  void Add(absl::string_view name, absl::string_view data);
  // The whole file. Nothing may be added after it.
  std::string Finish();

 private:
  std::string bytes_;
  std::string directory_;
  int64_t num_entries_ = 0;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_ZIP_WRITER_H_
