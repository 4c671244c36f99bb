// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_alphabet.h"

#include <array>

#include "core/base/utf8.h"

namespace rwkvd {
namespace {

constexpr int kNumCharacters = 0x144;  // the alphabet is within U+0000..U+0143

constexpr bool RepresentsItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         byte >= 0xAE;
}

struct Tables {
  std::array<uint16_t, 256> character_of_byte{};
  std::array<int16_t, kNumCharacters> byte_of_character{};  // -1: none
};

constexpr Tables MakeTables() {
  Tables tables;
  for (int16_t& byte : tables.byte_of_character) byte = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = RepresentsItself(byte) ? byte : next++;
    tables.character_of_byte[byte] = static_cast<uint16_t>(character);
    tables.byte_of_character[character] = static_cast<int16_t>(byte);
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

// Returns the first code point of `text`, which is 1 or 2 bytes long (below
// U+0800).
int DecodeShortCharacter(absl::string_view text, size_t length) {
  const int first = static_cast<uint8_t>(text[0]);
  if (length == 1) return first;
  return (first & 0x1F) << 6 | (static_cast<uint8_t>(text[1]) & 0x3F);
}

}  // namespace

std::string AlphabetCharacter(uint8_t byte) {
  std::string character;
  AppendUtf8(kTables.character_of_byte[byte], &character);
  return character;
}

std::optional<std::string> BytesOfAlphabetText(absl::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Part part = FirstUtf8Part(text);
    if (part.kind != Utf8Part::Kind::kCharacter || part.length > 2) return {};
    const int character = DecodeShortCharacter(text, part.length);
    if (character >= kNumCharacters) return {};
    if (kTables.byte_of_character[character] < 0) return {};
    bytes.push_back(static_cast<char>(kTables.byte_of_character[character]));
    text.remove_prefix(part.length);
  }
  return bytes;
}

}  // namespace rwkvd
