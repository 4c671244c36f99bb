// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_QUOTE_H_
#define RWKVD_CORE_BASE_QUOTE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The number of bytes of a string that Quoted shows; it leaves out the rest.
inline constexpr size_t kMaxQuotedBytes = 200;

// Untrusted text in the form that error messages and logs show: in double
// quotes, on one line and valid UTF-8. Double quotes, backslashes,
// control characters and bytes that are not UTF-8 become C escapes. Of a long
// text, only the first kMaxQuotedBytes are shown, and "..." follows the closing
// quote.
std::string Quoted(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_QUOTE_H_
