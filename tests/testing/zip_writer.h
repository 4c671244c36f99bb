// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_ZIP_WRITER_H_
#define RWKVD_TESTS_TESTING_ZIP_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::testing {

// The CRC-32 checksum of zip archives.
uint32_t Crc32(absl::string_view bytes);

// The low `size` bytes of a number, little endian.
std::string LittleEndian(uint64_t value, int size);

// Writes a zip archive of uncompressed entries, byte for byte like torch.save.
// The local headers have no sizes and checksums; these follow the data and are
// in the directory. An extra field "FB" pads each header to align the data to
// 64 bytes. There is always a ZIP64 end record.
class ZipWriter {
 public:
  void Add(absl::string_view name, absl::string_view data);
  // Returns the whole archive. The last call.
  std::string Finish();

 private:
  std::string bytes_;
  std::string directory_;
  int64_t num_entries_ = 0;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_ZIP_WRITER_H_
