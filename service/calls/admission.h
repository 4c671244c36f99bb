// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_ADMISSION_H_
#define RWKVD_SERVICE_CALLS_ADMISSION_H_

#include <grpcpp/server_context.h>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// The trailing metadata from which gRPC's own retries (proposal A6) learn how
// many milliseconds to wait.
inline constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

// The status of a call whose client has cancelled it, or is gone.
absl::Status CallCancelled();

// If `status` has a RetryAfter, adds it to the trailing metadata of `context`,
// whose call must not have been finished yet.
void AddRetryPushback(const absl::Status& status,
                      grpc::ServerContextBase* context);

// The client's deadline as a time of MonotonicNow, converted once, when the
// call arrives. InfiniteFuture if it has not set one.
absl::Time DeadlineOf(const grpc::ServerContextBase& context);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_ADMISSION_H_
