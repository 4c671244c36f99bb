// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_BYTE_READER_H_
#define RWKVD_CORE_CHECKPOINT_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// Reads little-endian numbers and strings from a sequence of bytes, front to
// back. A read of more bytes than remain returns false and does not advance. A
// view; thread-compatible.
class ByteReader {
 public:
  explicit ByteReader(absl::Span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  // Reads unsigned integers of the given types, one after the other.
  template <typename... Numbers>
  bool Read(Numbers*... numbers) {
    if (remaining() < (sizeof(Numbers) + ... + 0)) return false;
    (ReadOne(numbers), ...);
    return true;
  }

  // Reads an unsigned integer of `width` bytes, at most 8.
  bool ReadNumber(size_t width, uint64_t* number) {
    if (remaining() < width) return false;
    *number = 0;
    for (size_t i = 0; i < width; ++i) {
      *number |= std::to_integer<uint64_t>(bytes_[position_++]) << (8 * i);
    }
    return true;
  }

  bool ReadBytes(uint64_t size, absl::Span<const std::byte>* bytes) {
    if (size > remaining()) return false;
    *bytes = bytes_.subspan(position_, size);
    position_ += size;
    return true;
  }

  bool ReadText(uint64_t size, absl::string_view* text) {
    absl::Span<const std::byte> bytes;
    if (!ReadBytes(size, &bytes)) return false;
    *text = absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                              bytes.size());
    return true;
  }

 private:
  template <typename Number>
  void ReadOne(Number* number) {
    static_assert(std::is_unsigned_v<Number>);
    uint64_t value = 0;
    ReadNumber(sizeof(Number), &value);
    *number = static_cast<Number>(value);
  }

  absl::Span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_BYTE_READER_H_
