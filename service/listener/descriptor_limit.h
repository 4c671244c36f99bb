// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_DESCRIPTOR_LIMIT_H_
#define RWKVD_SERVICE_LISTENER_DESCRIPTOR_LIMIT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "service/listener/connection_table.h"

namespace rwkvd {

// Raises the soft limit of this process's file descriptors to its hard limit,
// and returns the limit that is then in force. Called once, at start.
int64_t RaiseDescriptorLimit();

// The limits of connections for a process that may have `max_descriptors` open.
// Some descriptors, at most half, stay free for everything but connections:
// files, the metrics endpoint, gRPC itself.
//
// `max_connections` and `max_connections_per_peer` are the values of the flags;
// 0 derives the first from the descriptors and from the memory that gRPC may
// use, in bytes, of which a connection with TLS takes more, and the second as a
// quarter of the first. InvalidArgument with the flag if there are too few
// descriptors for the value.
absl::StatusOr<ConnectionLimits> DeriveConnectionLimits(
    int64_t max_descriptors, int64_t grpc_memory_bytes, int max_connections,
    int max_connections_per_peer, bool tls = false);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_DESCRIPTOR_LIMIT_H_
