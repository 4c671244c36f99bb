// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_RETRY_AFTER_H_
#define RWKVD_CORE_BASE_RETRY_AFTER_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// Attach the time after which a retry is worthwhile, rounded to milliseconds,
// to a status that is not OK, and read it.
absl::Status WithRetryAfter(absl::Status status, absl::Duration duration);
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

// The error of each call that the server refuses or ends because it is shutting
// down. The retry, after a short time, is for another server.
absl::Status ServerShuttingDown();

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_RETRY_AFTER_H_
