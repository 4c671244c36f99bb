// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/clean_text.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace rwkvd {
namespace {

// Python's white space outside of ASCII, in UTF-8: U+0085, U+00A0, U+1680,
// U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
constexpr absl::string_view kWideSpaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80",
    "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84",
    "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88",
    "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9",
    "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

bool IsAsciiSpace(char c) {
  return c == ' ' || ('\t' <= c && c <= '\r') || ('\x1C' <= c && c <= '\x1F');
}

// The length of the white space at the start or the end of a nonempty text: 0
// if there is none. `matches` is absl::StartsWith or absl::EndsWith.
size_t SpaceLength(absl::string_view text, char ascii,
                   bool (*matches)(absl::string_view, absl::string_view)) {
  if (IsAsciiSpace(ascii)) return 1;
  const auto* const space =
      std::find_if(std::begin(kWideSpaces), std::end(kWideSpaces),
                   [&](absl::string_view wide) { return matches(text, wide); });
  return space == std::end(kWideSpaces) ? 0 : space->size();
}

bool Starts(absl::string_view text, absl::string_view prefix) {
  return absl::StartsWith(text, prefix);
}

bool Ends(absl::string_view text, absl::string_view suffix) {
  return absl::EndsWith(text, suffix);
}

}  // namespace

absl::string_view PythonStrip(absl::string_view text) {
  while (!text.empty()) {
    const size_t length = SpaceLength(text, text.front(), Starts);
    if (length == 0) break;
    text.remove_prefix(length);
  }
  while (!text.empty()) {
    const size_t length = SpaceLength(text, text.back(), Ends);
    if (length == 0) break;
    text.remove_suffix(length);
  }
  return text;
}

std::string CleanChatText(absl::string_view text) {
  std::string clean = absl::StrReplaceAll(text, {{"\r\n", "\n"}});
  const auto both_line_feeds = [](char a, char b) {
    return a == '\n' && b == '\n';
  };
  clean.erase(std::unique(clean.begin(), clean.end(), both_line_feeds),
              clean.end());
  return std::string(PythonStrip(clean));
}

}  // namespace rwkvd
