// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_NFC_H_
#define RWKVD_CORE_TEXT_NFC_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// How many times longer, or shorter, the normalized form of a text can be, in
// bytes of UTF-8.
inline constexpr int64_t kMaxNfcExpansion = 3;
inline constexpr int64_t kMaxNfcShrinkage = 4;

// Returns valid UTF-8 in Unicode's Normalization Form C. Takes O(n log n) time
// for any text.
std::string Nfc(absl::string_view text);

// An upper bound of the memory that Nfc allocates for `text`, in bytes. Takes
// O(n) time.
int64_t MaxNfcMemory(absl::string_view text);
// The same for any text, for each of its bytes.
inline constexpr int64_t kMaxNfcMemoryPerByte = 18;

// Whether `text` consists of the characters U+0000 to U+007F; it is then in
// Normalization Form C.
bool IsAscii(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_NFC_H_
