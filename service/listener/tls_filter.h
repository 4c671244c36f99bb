// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_TLS_FILTER_H_
#define RWKVD_SERVICE_LISTENER_TLS_FILTER_H_

#include "absl/functional/function_ref.h"
#include "service/listener/socket_filter.h"

namespace rwkvd {

// Applies `filter` to the bytes within TLS, of the session that `accept`
// creates on this thread: those that SSL_read() returns and those that
// SSL_write() accepts. If the filter refuses received bytes, SSL_read() fails,
// also when it is called again. Returns whether `accept` has created a session.
//
// gRPC creates the session of a connection when it gets the connection. As for
// FilterSocket, this library defines functions with the names of OpenSSL's, for
// which gRPC's library uses them (docs/adr/0020-inspect-frames-before-grpc.md).
//
// The filter ends with the session. Thread-safe.
bool FilterTlsSession(SocketFilter filter, absl::FunctionRef<void()> accept);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_TLS_FILTER_H_
