// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_PYTHON_LITERAL_H_
#define RWKVD_CORE_TEXT_PYTHON_LITERAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// The bytes that a Python string or bytes literal on one line stands for, of a
// string those of its UTF-8 form: 'a', "it's", '\x80' (two bytes: U+0080),
// b'\x80' (one byte). Knows the escapes that Python's repr() writes, and
// \a \b \f \v \0 beside them. InvalidArgument says what is wrong with the rest.
absl::StatusOr<std::string> ParsePythonLiteral(absl::string_view literal);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_PYTHON_LITERAL_H_
