// SPDX-License-Identifier: Apache-2.0
#include "core/base/utf8.h"

#include <cstdint>
#include <cstring>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// The bytes that may follow a first byte: their number, and the bounds of the
// second byte. Later bytes are 80..BF.
struct Lead {
  size_t num_following;  // 0: no character of several bytes starts like this
  uint8_t second_low;
  uint8_t second_high;
};

// Set in bytes that are not ASCII.
constexpr uint64_t kHighBits = 0x8080808080808080;

Lead LeadOf(uint8_t first) {
  if (first < 0xC2) return {0, 0, 0};
  if (first < 0xE0) return {1, 0x80, 0xBF};
  if (first == 0xE0) return {2, 0xA0, 0xBF};  // below: overlong
  if (first == 0xED) return {2, 0x80, 0x9F};  // above: surrogates
  if (first < 0xF0) return {2, 0x80, 0xBF};
  if (first == 0xF0) return {3, 0x90, 0xBF};  // below: overlong
  if (first < 0xF4) return {3, 0x80, 0xBF};
  if (first == 0xF4) return {3, 0x80, 0x8F};  // above: beyond U+10FFFF
  return {0, 0, 0};
}

}  // namespace

Utf8Part FirstUtf8Part(absl::string_view bytes) {
  using Kind = Utf8Part::Kind;
  RWKVD_CHECK(!bytes.empty());
  const uint8_t first = static_cast<uint8_t>(bytes[0]);
  if (first < 0x80) return {Kind::kCharacter, 1};
  const Lead lead = LeadOf(first);
  if (lead.num_following == 0) return {Kind::kIllFormed, 1};
  for (size_t i = 1; i <= lead.num_following; ++i) {
    if (i == bytes.size()) return {Kind::kUnfinished, i};
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    const uint8_t low = i == 1 ? lead.second_low : 0x80;
    const uint8_t high = i == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return {Kind::kIllFormed, i};
  }
  return {Kind::kCharacter, lead.num_following + 1};
}

size_t ValidUtf8Length(absl::string_view bytes) {
  size_t length = 0;
  while (length < bytes.size()) {
    // Most texts consist mainly of ASCII, which is skipped 8 bytes at a time.
    uint64_t word = 0;
    if (bytes.size() - length >= sizeof(word)) {
      std::memcpy(&word, bytes.data() + length, sizeof(word));
      if ((word & kHighBits) == 0) {
        length += sizeof(word);
        continue;
      }
    }
    const Utf8Part part = FirstUtf8Part(bytes.substr(length));
    if (part.kind != Utf8Part::Kind::kCharacter) break;
    length += part.length;
  }
  return length;
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  RWKVD_CHECK(code_point < 0xD800 ||
              (code_point > 0xDFFF && code_point <= 0x10FFFF));
  const auto following = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)));
  };
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    following(0);
  } else if (code_point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    following(6);
    following(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    following(12);
    following(6);
    following(0);
  }
}

}  // namespace rwkvd
