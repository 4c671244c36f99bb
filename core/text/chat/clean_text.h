// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CLEAN_TEXT_H_
#define RWKVD_CORE_TEXT_CHAT_CLEAN_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Removes white space at both ends, as Python's str.strip and so the filter
// `trim` of Jinja do: the characters that Python calls white space, such as
// U+00A0 and U+3000, but not U+200B or U+FEFF. Bytes that are not UTF-8 are not
// white space.
absl::string_view PythonStrip(absl::string_view text);

// Cleans a text by the rule of BlinkDL's G1 templates: CRLF becomes LF, two or
// more LFs become one, and PythonStrip. The result contains no empty lines, so
// no separator of turns.
std::string CleanChatText(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CLEAN_TEXT_H_
