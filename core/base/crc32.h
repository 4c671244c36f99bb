// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_CRC32_H_
#define RWKVD_CORE_BASE_CRC32_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace rwkvd {

// Computes the CRC-32 checksum of zip archives incrementally. A value.
class Crc32 {
 public:
  void Update(absl::Span<const std::byte> bytes);
  // The checksum of everything so far; 0 for nothing.
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_CRC32_H_
