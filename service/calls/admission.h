// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_ADMISSION_H_
#define RWKVD_SERVICE_CALLS_ADMISSION_H_

#include <grpcpp/server_context.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/engine/schedule/flow.h"
#include "service/auth/caller.h"

namespace rwkvd {

// The status of a call whose client has cancelled it, or is gone.
absl::Status CallCancelled();

// The flow of the caller's requests in the engine: that of its identity.
Flow FlowOf(const Caller& caller);

// How long a saved state or a pin of the caller lives: `requested`, or
// `otherwise` if the client has not asked for a time, but no longer than the
// quota of its identity. InvalidArgument, of `field`, if it has asked for more.
absl::StatusOr<absl::Duration> TimeToLiveFor(
    const Caller& caller, absl::string_view field,
    std::optional<absl::Duration> requested, absl::Duration otherwise);

// The client's deadline as a time of MonotonicNow, converted once, when the
// call arrives. InfiniteFuture if it has not set one.
absl::Time DeadlineOf(const grpc::ServerContextBase& context);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_ADMISSION_H_
