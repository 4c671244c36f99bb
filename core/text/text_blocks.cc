// SPDX-License-Identifier: Apache-2.0
#include "core/text/text_blocks.h"

#include <cstdint>

#include "absl/strings/match.h"

namespace rwkvd {
namespace {

// Unicode's White_Space beyond ASCII, in UTF-8; U+2000 to U+200A share the
// first two bytes.
constexpr absl::string_view kSpaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool EndsWithSpace(absl::string_view text) {
  if (IsAsciiSpace(text.back())) return true;
  if (static_cast<uint8_t>(text.back()) < 0x80) return false;
  for (const absl::string_view space : kSpaces) {
    if (absl::EndsWith(text, space)) return true;
  }
  const auto last = static_cast<uint8_t>(text.back());
  return last <= 0x8A &&
         absl::EndsWith(text.substr(0, text.size() - 1), "\xE2\x80");
}

}  // namespace

size_t FirstBlock(absl::string_view text) {
  for (size_t i = kMinBlockBytes; i < text.size(); ++i) {
    if (IsAsciiSpace(text[i]) && !EndsWithSpace(text.substr(0, i))) return i;
  }
  return text.size();
}

}  // namespace rwkvd
