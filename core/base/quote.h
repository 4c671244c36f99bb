// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_QUOTE_H_
#define RWKVD_CORE_BASE_QUOTE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The maximum number of bytes of a string that Quoted shows.
inline constexpr size_t kMaxQuotedBytes = 100;

// Quotes untrusted text for error messages and logs: in double quotes, on one
// line and as valid UTF-8. Double quotes, backslashes, control characters and
// bytes that are not UTF-8 become C escapes. Text longer than kMaxQuotedBytes
// is truncated; "..." then follows the closing quote.
std::string Quoted(absl::string_view text);

// `text` on one line and as valid UTF-8: control characters and bytes that are
// not UTF-8 become C escapes. For whole messages, which may contain paths.
std::string OneLine(absl::string_view text);

// The first bytes of `text`, at most `limit`, without an incomplete UTF-8
// character at the end.
absl::string_view CutUtf8(absl::string_view text, size_t limit);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_QUOTE_H_
