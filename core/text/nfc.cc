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

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

std::string Nfc(absl::string_view text) {
  if (IsAscii(text)) return std::string(text);
  std::vector<int32_t> code_points = Decompose(text);
  OrderMarks(&code_points);
  const auto length = utf8proc_normalize_utf32(
      code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()),
      kComposeStably);
  RWKVD_CHECK(length >= 0);
  std::string composed;
  composed.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    AppendUtf8(static_cast<uint32_t>(code_points[i]), &composed);
  }
  return composed;
}

}  // namespace rwkvd
