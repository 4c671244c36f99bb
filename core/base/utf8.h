// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_UTF8_H_
#define RWKVD_CORE_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// What a string of bytes begins with.
struct Utf8Part {
  enum class Kind {
    kCharacter,  // a well-formed character
    kIllFormed,  // a maximal part that no byte after it can make well-formed
    kUnfinished  // the whole string: a proper prefix of a character
  };
  Kind kind;
  size_t length;  // in bytes, 1 to 4
};

// Of a nonempty string, by table 3-7 of the Unicode standard: neither overlong
// forms nor surrogates nor anything beyond U+10FFFF is well-formed.
Utf8Part FirstUtf8Part(absl::string_view bytes);

// The number of bytes at the front that are well-formed characters.
size_t ValidUtf8Length(absl::string_view bytes);

// `code_point` is a Unicode scalar value.
void AppendUtf8(uint32_t code_point, std::string* out);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_UTF8_H_
