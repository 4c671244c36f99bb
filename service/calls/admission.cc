// SPDX-License-Identifier: Apache-2.0
#include "service/calls/admission.h"

#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/engine/retry_after.h"

namespace rwkvd {

void AddRetryPushback(const absl::Status& status,
                      grpc::ServerContextBase* context) {
  const std::optional<absl::Duration> pause = RetryAfter(status);
  if (!pause.has_value()) return;
  context->AddTrailingMetadata(kRetryPushback,
                               absl::StrCat(absl::ToInt64Milliseconds(*pause)));
}

absl::Time DeadlineOf(const grpc::ServerContextBase& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : absl::FromChrono(deadline);
}

}  // namespace rwkvd
