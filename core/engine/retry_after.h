// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_RETRY_AFTER_H_
#define RWKVD_CORE_ENGINE_RETRY_AFTER_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// A status that is not OK may carry when it is worth trying again: these put
// it there, rounded to milliseconds, and take it out.
absl::Status WithRetryAfter(absl::Status status, absl::Duration duration);
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_RETRY_AFTER_H_
