// SPDX-License-Identifier: Apache-2.0
#include "service/calls/admission.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {
namespace {

constexpr char kMaxTtlQuota[] = "max_ttl_seconds";

}  // namespace

absl::Status CallCancelled() {
  return MakeError(ErrorReason::kCancelled, "cancelled");
}

Flow FlowOf(const Caller& caller) {
  const Quotas& quotas = caller.quotas();
  return {std::string(caller.name()), quotas.weight, quotas.max_running,
          quotas.max_queued};
}

absl::StatusOr<absl::Duration> TimeToLiveFor(
    const Caller& caller, absl::string_view field,
    std::optional<absl::Duration> requested, absl::Duration otherwise) {
  const absl::Duration most = caller.quotas().MaxTimeToLive();
  const absl::Duration wanted = requested.value_or(std::min(otherwise, most));
  if (wanted <= most) return wanted;
  return WithQuota(
      FieldError(
          field,
          absl::StrCat(absl::ToDoubleSeconds(wanted), " is more than the ",
                       absl::ToInt64Seconds(most),
                       " that this identity may ask for (", kMaxTtlQuota, ")")),
      kMaxTtlQuota);
}

absl::Time DeadlineOf(const grpc::ServerContextBase& context) {
  // gRPC keeps the deadline as a time of its monotonic clock. Its conversion to
  // the system's clock would follow a change of that clock, and would overflow
  // for a deadline in some hundred years, which Go sends for "none".
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
    return absl::InfiniteFuture();
  }
  const gpr_timespec left =
      gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  return MonotonicNow() + absl::Seconds(left.tv_sec) +
         absl::Nanoseconds(left.tv_nsec);
}

}  // namespace rwkvd
