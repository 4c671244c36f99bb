// SPDX-License-Identifier: Apache-2.0
#include "core/base/retry_after.h"

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace rwkvd {
namespace {

constexpr char kRetryPayload[] = "rwkvd/retry_after_ms";

// When a client should call another server.
constexpr absl::Duration kRetryElsewhereAfter = absl::Milliseconds(100);

}  // namespace

absl::Status WithRetryAfter(absl::Status status, absl::Duration duration) {
  status.SetPayload(kRetryPayload,
                    absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(
                        duration + absl::Microseconds(500)))));
  return status;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryPayload);
  int64_t milliseconds = 0;
  if (!payload.has_value() ||
      !absl::SimpleAtoi(std::string(*payload), &milliseconds)) {
    return std::nullopt;
  }
  return absl::Milliseconds(milliseconds);
}

absl::Status ServerShuttingDown() {
  return WithRetryAfter(MakeError(ErrorReason::kServerShuttingDown,
                                  "the server is shutting down"),
                        kRetryElsewhereAfter);
}

}  // namespace rwkvd
