// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_ZIP_WRITER_H_
#define RWKVD_SERVICE_VLLM_ZIP_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Writes a zip archive of files that are stored without compression, in memory.
// The same files give the same bytes: no time is stored. Thread-compatible.
class ZipWriter {
 public:
  // Names and contents have less than 4 GiB together.
  void Add(absl::string_view name, absl::string_view contents);

  // Returns the archive. No other call may follow.
  std::string Finish();

 private:
  std::string archive_;
  std::string directory_;
  uint16_t num_files_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_ZIP_WRITER_H_
