// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_ADMISSION_H_
#define RWKVD_SERVICE_CALLS_ADMISSION_H_

#include <grpcpp/server_context.h>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// The trailing metadata by which gRPC's own retries (A6) are told how long to
// wait, in milliseconds.
inline constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

// If `status` says when to try again, tells it to the client of `context`,
// whose call must not have been finished yet.
void AddRetryPushback(const absl::Status& status,
                      grpc::ServerContextBase* context);

// The client's deadline; InfiniteFuture if it set none.
absl::Time DeadlineOf(const grpc::ServerContextBase& context);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_ADMISSION_H_
