// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BYTE_ALPHABET_H_
#define RWKVD_CORE_TEXT_BYTE_ALPHABET_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Byte-level BPE files write each byte as one visible character (GPT-2's
// bytes_to_unicode): printable Latin-1 as itself, the 68 others, in ascending
// order, as U+0100 and onwards. A space is U+0120.

// The character that stands for `byte`, in UTF-8.
std::string AlphabetCharacter(uint8_t byte);

// The bytes that a text in this alphabet stands for; nothing if it has a
// character outside it or is not UTF-8.
std::optional<std::string> BytesOfAlphabetText(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BYTE_ALPHABET_H_
