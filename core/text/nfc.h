// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_NFC_H_
#define RWKVD_CORE_TEXT_NFC_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Unicode's Normalization Form C of valid UTF-8. Takes n log n time whatever
// the text.
std::string Nfc(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_NFC_H_
