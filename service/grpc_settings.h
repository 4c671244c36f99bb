// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_GRPC_SETTINGS_H_
#define RWKVD_SERVICE_GRPC_SETTINGS_H_

#include <grpcpp/server_builder.h>

#include "service/options/options.h"

namespace rwkvd {

// Makes gRPC bound the memory into which it reads a connection, as
// ConfigureGrpc says. Called once, before gRPC is used and before other threads
// start, since it changes an environment variable.
void PrepareGrpc();

// Sets gRPC's own limits: of messages, metadata, streams, memory and threads,
// of time before a client has introduced itself, and of keepalive pings; and
// refuses compressed messages.
void ConfigureGrpc(const Options& options, grpc::ServerBuilder& builder);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_GRPC_SETTINGS_H_
