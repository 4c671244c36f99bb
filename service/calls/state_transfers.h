// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_STATE_TRANSFERS_H_
#define RWKVD_SERVICE_CALLS_STATE_TRANSFERS_H_

#include <grpcpp/server_context.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/calls/call_environment.h"
#include "service/calls/monitored_call.h"

namespace rwkvd {

// The most calls of PutState and GetState at a time.
inline constexpr int32_t kMaxStateTransfers = 16;

// When a client should retry a transfer that is refused.
inline constexpr absl::Duration kTransferRetryAfter = absl::Seconds(1);

// Gives a call of PutState or GetState its slot, or returns ResourceExhausted
// with a RetryAfter.
absl::Status TakeTransferSlot(MonitoredCall* call,
                              const CallEnvironment& environment,
                              const grpc::CallbackServerContext& context);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_STATE_TRANSFERS_H_
