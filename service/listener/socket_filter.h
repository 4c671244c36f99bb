// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_SOCKET_FILTER_H_
#define RWKVD_SERVICE_LISTENER_SOCKET_FILTER_H_

#include <functional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The functions that inspect the bytes of a connection. A value.
struct SocketFilter {
  // Bytes that were received, before their reader sees them. Returns whether
  // the reader may have them.
  std::function<bool(absl::string_view bytes)> on_received;
  // Bytes that were sent, after that. May be empty.
  std::function<void(absl::string_view bytes)> on_sent;
};

// Applies `filter` to all bytes that recvmsg() returns for the socket `fd` and
// that sendmsg() accepts from now on. If the filter refuses received bytes,
// recvmsg() fails with ECONNRESET instead, also when it is called again.
//
// gRPC uses these two functions for its connections, and has no interface to
// see their bytes. So this library defines functions of these names, which call
// those of the C library; the dynamic linker gives the program's definitions to
// all libraries (docs/adr/0020-inspect-frames-before-grpc.md).
//
// The filter ends with the socket: it is never applied to another one that gets
// the number `fd` later. Each of its functions is called by one thread at a
// time if recvmsg() and sendmsg() are. Thread-safe.
void FilterSocket(int fd, SocketFilter filter);

// Destroys the filters of sockets that were closed without a last recvmsg().
// Thread-safe.
void RemoveFiltersOfClosedSockets();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_SOCKET_FILTER_H_
