// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_PYTHON_LITERAL_H_
#define RWKVD_CORE_TEXT_PYTHON_LITERAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Returns the value of a one-line Python string or bytes literal; a string's
// value is encoded in UTF-8. Examples: 'a', "it's", '\x80' (two bytes: U+0080),
// b'\x80' (one byte). Supports the escapes that Python's repr() writes, and
// also \a \b \f \v \0. Returns InvalidArgument for all other text.
absl::StatusOr<std::string> ParsePythonLiteral(absl::string_view literal);

// Returns the bytes whose repr() has `body` between its quotes, as GGUF files
// store tokens. InvalidArgument for text that is not ASCII and for other
// escapes than above.
absl::StatusOr<std::string> ParsePythonBytes(absl::string_view body);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_PYTHON_LITERAL_H_
