// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_INPUT_H_
#define RWKVD_TOOLS_RWKVCTL_INPUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Returns the argument, or all of standard input if the argument is "-".
std::string ReadArgument(const std::string& argument);

// Parses token ids separated by commas or white space. InvalidArgument names
// the first word that is not a number.
absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view text);

// Parses strings separated by commas, with C escapes (\n, \x2c for a comma).
// InvalidArgument names the first string with an invalid escape.
absl::StatusOr<std::vector<std::string>> ParseStrings(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_INPUT_H_
