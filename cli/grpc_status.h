// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_GRPC_STATUS_H_
#define RWKVD_CLI_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace rwkvd {

// Converts a status for the wire, with its details (cli/error_details.h). Long
// messages are cut, since they must fit into the headers of a response.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The trailing metadata from which gRPC's own retries (proposal A6) learn how
// many milliseconds to wait.
inline constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

// The status of a call that ends with `status`: the same as above, but
// DEADLINE_EXCEEDED for a cancellation after the client's deadline. If `status`
// has a RetryAfter, adds it to the trailing metadata of `context`, whose call
// must not have been finished yet.
grpc::Status EndStatus(const absl::Status& status,
                       grpc::ServerContextBase* context);

// gRPC's name of a code, such as "INVALID_ARGUMENT". Metrics use it as a label.
const char* NameOf(grpc::StatusCode code);

}  // namespace rwkvd

#endif  // RWKVD_CLI_GRPC_STATUS_H_
