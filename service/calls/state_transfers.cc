// SPDX-License-Identifier: Apache-2.0
#include "service/calls/state_transfers.h"

#include "absl/strings/str_cat.h"
#include "core/engine/retry_after.h"

namespace rwkvd {

absl::Status TakeTransferSlot(MonitoredCall* call,
                              const grpc::CallbackServerContext& context,
                              StreamSlots* slots) {
  if (slots->Take(call, context.peer(), kMaxStateTransfers)) {
    return absl::OkStatus();
  }
  return WithRetryAfter(
      absl::ResourceExhaustedError(
          absl::StrCat("too many states are being transferred: the limit is ",
                       kMaxStateTransfers, ", which clients share")),
      kTransferRetryAfter);
}

}  // namespace rwkvd
