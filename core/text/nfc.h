// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_NFC_H_
#define RWKVD_CORE_TEXT_NFC_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Returns valid UTF-8 in Unicode's Normalization Form C. Takes O(n log n) time
// for any text.
std::string Nfc(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_NFC_H_
