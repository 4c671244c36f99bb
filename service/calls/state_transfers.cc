// SPDX-License-Identifier: Apache-2.0
#include "service/calls/state_transfers.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"

namespace rwkvd {

absl::Status TakeTransferSlot(MonitoredCall* call,
                              const CallEnvironment& environment,
                              const grpc::CallbackServerContext& context) {
  const bool has_slot = environment.transfers->Take(
      call, environment.caller.name(), context.peer(), kMaxStateTransfers);
  if (has_slot) return absl::OkStatus();
  return WithRetryAfter(
      WithQuota(
          MakeError(ErrorReason::kTooManyTransfers,
                    absl::StrCat(
                        "too many states are being transferred: the limit is ",
                        kMaxStateTransfers, ", which clients share")),
          "state_transfers"),
      kTransferRetryAfter);
}

}  // namespace rwkvd
