// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BYTE_ALPHABET_H_
#define RWKVD_CORE_TEXT_BYTE_ALPHABET_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// GPT-2's bytes_to_unicode: byte-level BPE files represent each byte by one
// visible character. Printable Latin-1 represents itself; the 68 other bytes,
// in ascending order, are U+0100 and following. A space is U+0120.

// Returns the character that represents `byte`, in UTF-8.
std::string AlphabetCharacter(uint8_t byte);

// Returns the bytes that a text in this alphabet represents, or nullopt if the
// text is not UTF-8 or has a character outside of the alphabet.
std::optional<std::string> BytesOfAlphabetText(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BYTE_ALPHABET_H_
