// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_UTF8_H_
#define RWKVD_CORE_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The start of a byte string, classified.
struct Utf8Part {
  enum class Kind {
    kCharacter,  // a well-formed character
    kIllFormed,  // bytes that no following byte can make well-formed
    kUnfinished  // the whole string is a proper prefix of a character
  };
  Kind kind;
  size_t length;  // in bytes, 1 to 4
};

// Classifies the start of a nonempty string by table 3-7 of the Unicode
// standard. Overlong forms, surrogates and code points above U+10FFFF are
// ill-formed.
Utf8Part FirstUtf8Part(absl::string_view bytes);

// The length in bytes of the longest prefix of well-formed characters.
size_t ValidUtf8Length(absl::string_view bytes);

// Appends the UTF-8 encoding of `code_point`, a Unicode scalar value.
void AppendUtf8(uint32_t code_point, std::string* out);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_UTF8_H_
