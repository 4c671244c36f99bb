// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_FLAG_CHECKS_H_
#define RWKVD_SERVICE_OPTIONS_FLAG_CHECKS_H_

// Checks of the values of flags, for the files of this folder. All errors are
// InvalidArgument and begin with the name of the flag.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// The error "--FLAG: PROBLEM". The parts of the problem are concatenated.
template <typename... Parts>
absl::Status FlagError(absl::string_view flag, const Parts&... problem) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", problem...));
}

// OK if `value` is in [low, high].
template <typename T>
absl::Status CheckRange(absl::string_view flag, T value, T low, T high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FlagError(flag, value, " is not in [", low, ", ", high, "]");
}

// OK if `value` is in [0, 24h].
absl::Status CheckDuration(absl::string_view flag, absl::Duration value);

// The value of a flag in MiB, which must be in [0, max_mib], as bytes.
absl::StatusOr<int64_t> MebibytesToBytes(absl::string_view flag, int64_t mib,
                                         int64_t max_mib);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_FLAG_CHECKS_H_
