// SPDX-License-Identifier: Apache-2.0
#include "core/text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/check.h"
#include "core/base/utf8.h"

namespace rwkvd {
namespace {

constexpr auto kComposeStably =
    static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);

// A canonical decomposition has at most 4 code points.
constexpr int kMaxDecomposition = 32;

std::vector<int32_t> Decompose(absl::string_view text) {
  std::vector<int32_t> code_points;
  code_points.reserve(text.size());
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* const end = at + text.size();
  int boundary_class = 0;  // unused: only for grapheme boundaries
  while (at < end) {
    int32_t code_point = 0;
    at += utf8proc_iterate(at, end - at, &code_point);
    RWKVD_CHECK(code_point >= 0);  // the caller promised valid UTF-8
    int32_t parts[kMaxDecomposition];
    const auto num_parts = utf8proc_decompose_char(
        code_point, parts, kMaxDecomposition, kComposeStably, &boundary_class);
    RWKVD_CHECK(num_parts >= 0 && num_parts <= kMaxDecomposition);
    code_points.insert(code_points.end(), parts, parts + num_parts);
  }
  return code_points;
}

int CombiningClass(int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// Sorts each run of combining marks by class. utf8proc_decompose would take
// quadratic time in the length of a run, which the sender of the text chooses.
void OrderMarks(std::vector<int32_t>* code_points) {
  const auto is_mark = [](int32_t c) { return CombiningClass(c) != 0; };
  auto begin = code_points->begin();
  while (begin != code_points->end()) {
    begin = std::find_if(begin, code_points->end(), is_mark);
    const auto end = std::find_if_not(begin, code_points->end(), is_mark);
    std::stable_sort(begin, end, [](int32_t a, int32_t b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    begin = end;
  }
}

// Text is normalized in segments of at least this size, so that its code
// points need not exist all at once.
constexpr size_t kMinSegmentBytes = 4096;

// Whether a character that begins with this byte never changes together with
// those before it: ASCII, U+0400 to U+047F (Cyrillic), U+4000 to U+9FFF (Han)
// and U+B000 to U+CFFF (Hangul syllables). None of them is a mark, or the
// second character of a composition.
bool BeginsSegment(uint8_t first) {
  return first < 0x80 || first == 0xD0 || first == 0xD1 ||
         (first >= 0xE4 && first <= 0xE9) || first == 0xEB || first == 0xEC;
}

// The length of the first segment of `text`: the normalized form of the text is
// that of the segment followed by that of the rest.
size_t FirstSegment(absl::string_view text) {
  size_t length = std::min(kMinSegmentBytes, text.size());
  while (length < text.size() &&
         !BeginsSegment(static_cast<uint8_t>(text[length]))) {
    ++length;
  }
  return length;
}

// Appends the normalized form of a segment.
void AppendSegment(absl::string_view segment, std::string* out) {
  if (IsAscii(segment)) {
    out->append(segment.data(), segment.size());
    return;
  }
  std::vector<int32_t> code_points = Decompose(segment);
  OrderMarks(&code_points);
  const auto length = utf8proc_normalize_utf32(
      code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()),
      kComposeStably);
  RWKVD_CHECK(length >= 0);
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    AppendUtf8(static_cast<uint32_t>(code_points[i]), out);
  }
}

// Memory for each byte of a segment: a 2-byte character becomes at most 3 code
// points of 4 bytes. An array that grows, grows to twice its size, and the old
// and the new one exist together.
constexpr int64_t kSegmentMemory = 12;
constexpr int64_t kOutputMemory = 2 * kMaxNfcExpansion;
static_assert(kSegmentMemory + kOutputMemory == kMaxNfcMemoryPerByte);

}  // namespace

std::string Nfc(absl::string_view text) {
  std::string composed;
  composed.reserve(text.size());
  while (!text.empty()) {
    const size_t length = FirstSegment(text);
    AppendSegment(text.substr(0, length), &composed);
    text.remove_prefix(length);
  }
  return composed;
}

int64_t MaxNfcMemory(absl::string_view text) {
  size_t longest = 0;
  const size_t size = text.size();
  while (!text.empty()) {
    const size_t length = FirstSegment(text);
    longest = std::max(longest, length);
    text.remove_prefix(length);
  }
  return static_cast<int64_t>(size) * kOutputMemory +
         static_cast<int64_t>(longest) * kSegmentMemory;
}

bool IsAscii(absl::string_view text) {
  // Without branches, so that the compiler uses vector instructions.
  uint8_t bits = 0;
  for (const char c : text) bits |= static_cast<uint8_t>(c);
  return bits < 0x80;
}

}  // namespace rwkvd
