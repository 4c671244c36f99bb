// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_GRPC_STATUS_H_
#define RWKVD_CLI_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace rwkvd {

// The same code and message for the wire. A message is cut to what fits into
// the headers of an answer.
grpc::Status ToGrpcStatus(const absl::Status& status);

// What a call ends with, given why the engine ended its request: as above, but
// a cancellation after the client's deadline is called by that name.
grpc::Status EndStatus(const absl::Status& engine_status,
                       const grpc::ServerContextBase& context);

// "OK", "INVALID_ARGUMENT", ...: gRPC's own names, the values of metric labels.
const char* NameOf(grpc::StatusCode code);

}  // namespace rwkvd

#endif  // RWKVD_CLI_GRPC_STATUS_H_
