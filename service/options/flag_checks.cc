// SPDX-License-Identifier: Apache-2.0
#include "service/options/flag_checks.h"

#include "core/base/status_macros.h"

namespace rwkvd {

absl::Status CheckDuration(absl::string_view flag, absl::Duration value) {
  if (value >= absl::ZeroDuration() && value <= absl::Hours(24)) {
    return absl::OkStatus();
  }
  return FlagError(flag, absl::FormatDuration(value), " is not in [0, 24h]");
}

absl::StatusOr<int64_t> MebibytesToBytes(absl::string_view flag, int64_t mib,
                                         int64_t max_mib) {
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>(flag, mib, 0, max_mib));
  return mib << 20;
}

}  // namespace rwkvd
