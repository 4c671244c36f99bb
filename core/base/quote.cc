// SPDX-License-Identifier: Apache-2.0
#include "core/base/quote.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "core/base/utf8.h"

namespace rwkvd {
namespace {

// The first kMaxQuotedBytes, or up to 3 fewer so that no character is split.
absl::string_view Truncated(absl::string_view text) {
  size_t length = kMaxQuotedBytes;
  if (text.size() <= length) return text;
  const auto continues = [text](size_t i) {
    return (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80;
  };
  while (length > kMaxQuotedBytes - 3 && continues(length)) --length;
  return text.substr(0, length);
}

// Whether it is a control character. Some terminals interpret those from U+0080
// to U+009F, too.
bool IsControl(absl::string_view character) {
  if (character.size() == 1) return absl::ascii_iscntrl(character[0]);
  return character.size() == 2 && character[0] == '\xC2' &&
         static_cast<uint8_t>(character[1]) < 0xA0;
}

std::string Escaped(absl::string_view character) {
  if (IsControl(character)) return absl::CHexEscape(character);
  return character == "'" ? "'" : absl::Utf8SafeCHexEscape(character);
}

}  // namespace

std::string Quoted(absl::string_view text) {
  const absl::string_view shown = Truncated(text);
  std::string quoted = "\"";
  for (absl::string_view rest = shown; !rest.empty();) {
    const Utf8Part part = FirstUtf8Part(rest);
    const absl::string_view bytes = rest.substr(0, part.length);
    quoted += part.kind == Utf8Part::Kind::kCharacter ? Escaped(bytes)
                                                      : absl::CHexEscape(bytes);
    rest.remove_prefix(part.length);
  }
  quoted += '"';
  if (shown.size() < text.size()) quoted += "...";
  return quoted;
}

absl::string_view CutUtf8(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

std::string OneLine(absl::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Part part = FirstUtf8Part(rest);
    const absl::string_view bytes = rest.substr(0, part.length);
    const bool is_text =
        part.kind == Utf8Part::Kind::kCharacter && !IsControl(bytes);
    if (is_text) {
      line.append(bytes.data(), bytes.size());
    } else {
      line += absl::CHexEscape(bytes);
    }
    rest.remove_prefix(part.length);
  }
  return line;
}

}  // namespace rwkvd
