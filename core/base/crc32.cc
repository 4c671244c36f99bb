// SPDX-License-Identifier: Apache-2.0
#include "core/base/crc32.h"

#include <zlib.h>

namespace rwkvd {

void Crc32::Update(absl::Span<const std::byte> bytes) {
  value_ = static_cast<uint32_t>(crc32_z(
      value_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace rwkvd
