// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_INPUT_H_
#define RWKVD_TOOLS_RWKVCTL_INPUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// What an argument stands for: itself, or with "-" all of the standard input.
std::string ReadArgument(const std::string& argument);

// Numbers separated by commas or white space. InvalidArgument names the first
// that is none.
absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view text);

// Strings separated by commas, each with C's escapes (\n, \x2c for a comma).
// InvalidArgument names the first whose escapes are wrong.
absl::StatusOr<std::vector<std::string>> ParseStrings(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_INPUT_H_
