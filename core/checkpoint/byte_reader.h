// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_BYTE_READER_H_
#define RWKVD_CORE_CHECKPOINT_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// Takes little-endian numbers and strings off the front of some bytes, never
// more than there are: a read that fails takes nothing. A view; thread-
// compatible.
class ByteReader {
 public:
  explicit ByteReader(absl::Span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  template <typename... Numbers>
  bool Read(Numbers*... numbers) {
    if (remaining() < (sizeof(Numbers) + ... + 0)) return false;
    (Take(numbers), ...);
    return true;
  }

  // A number of `width` bytes, at most 8.
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
  void Take(Number* number) {
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
