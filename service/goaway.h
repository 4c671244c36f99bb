// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_GOAWAY_H_
#define RWKVD_SERVICE_GOAWAY_H_

#include <grpcpp/server.h>

namespace rwkvd {

// The first steps of ending a gRPC server, before grpc::Server::Shutdown. That
// function sends GOAWAY, too, but from then on answers new calls with CANCELLED
// and no message, and clients send calls until they have received GOAWAY. With
// these functions the server still answers them as it likes.
//
// `server` has been started and is not being shut down. Thread-safe. These
// functions may wait for a thread of gRPC, and must not be called on one.

// Sends GOAWAY on each connection of `server`: its client opens no more calls
// on it and connects elsewhere. Running calls continue, and the connection is
// closed after the last one. May be called again for connections that have been
// established since; others do not get a second one.
void SendGoaway(grpc::Server& server);

// Whether a client is connected.
bool HasConnections(grpc::Server& server);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_GOAWAY_H_
