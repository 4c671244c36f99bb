// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_NUMBER_TEXT_H_
#define RWKVD_CORE_BASE_NUMBER_TEXT_H_

#include <string>

namespace rwkvd {

// The shortest text from which the same number is read back, such as "0.1" for
// 0.1f, so that a value in a message differs from the bound that it exceeds.
// absl::StrCat rounds to six digits.
std::string NumberText(float number);
std::string NumberText(double number);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_NUMBER_TEXT_H_
