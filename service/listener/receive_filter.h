// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_RECEIVE_FILTER_H_
#define RWKVD_SERVICE_LISTENER_RECEIVE_FILTER_H_

#include <functional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Sees the bytes that were received from a connection before their reader
// does. Returns whether the reader may have them.
using ReceiveFilter = std::function<bool(absl::string_view bytes)>;

// Applies `filter` to all bytes that recvmsg() returns for the socket `fd` from
// now on. If it returns false, recvmsg() fails with ECONNRESET instead, also
// when it is called again.
//
// gRPC reads its connections with recvmsg(), and has no interface to see their
// bytes. So this library defines a function recvmsg() of its own, which calls
// that of the C library; the dynamic linker gives the program's definition to
// all libraries (docs/adr/0020-inspect-frames-before-grpc.md).
//
// The filter ends with the socket: it is never applied to another one that gets
// the number `fd` later. It is called by one thread at a time if recvmsg() is.
// Thread-safe.
void FilterReceivedBytes(int fd, ReceiveFilter filter);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_RECEIVE_FILTER_H_
