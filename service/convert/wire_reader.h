// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_WIRE_READER_H_
#define RWKVD_SERVICE_CONVERT_WIRE_READER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// How the value of a field is encoded, from the lowest bits of its tag.
enum class WireType {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

// Reads protobuf's wire format from the front of a byte string:
// https://protobuf.dev/programming-guides/encoding.
//
// Thread-compatible. The bytes outlive it.
class WireReader {
 public:
  explicit WireReader(absl::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }

  // Empty if the bytes end before the varint, or it has more than ten.
  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (size_t i = 0; i < std::min<size_t>(bytes_.size(), 10); ++i) {
      const auto byte = static_cast<uint8_t>(bytes_[i]);
      value |= uint64_t{byte & 0x7Fu} << (7 * i);
      if (byte < 0x80) {
        bytes_.remove_prefix(i + 1);
        return value;
      }
    }
    return std::nullopt;
  }

  // Returns false if there are fewer bytes.
  bool Skip(size_t size) {
    if (bytes_.size() < size) return false;
    bytes_.remove_prefix(size);
    return true;
  }

  // Reads a length, and returns as many bytes; empty if there are fewer.
  std::optional<absl::string_view> Delimited() {
    const std::optional<uint64_t> size = Varint();
    if (!size.has_value() || *size > bytes_.size()) return std::nullopt;
    const absl::string_view content = bytes_.substr(0, *size);
    bytes_.remove_prefix(*size);
    return content;
  }

 private:
  absl::string_view bytes_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_WIRE_READER_H_
