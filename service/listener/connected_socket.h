// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CONNECTED_SOCKET_H_
#define RWKVD_SERVICE_LISTENER_CONNECTED_SOCKET_H_

#include <cstdint>

namespace rwkvd {

// gRPC owns the descriptors of connections and closes them without notice; then
// the system gives their numbers to other files. So a connection is identified
// by the inode of its socket in addition.

// The inode of the socket `fd`, which is unique as long as the system runs. 0
// if `fd` is no open socket.
uint64_t SocketInode(int fd);

// Returns a number that identifies the open socket `fd`, or 0; SocketInode,
// except in tests.
using IdentifySocket = uint64_t (*)(int fd);

// Ends the connection `fd` if that is still the given socket; gRPC notices it
// and closes the descriptor. Returns whether it has ended the connection.
// Thread-safe.
bool ShutDownSocket(int fd, uint64_t socket,
                    IdentifySocket identify = &SocketInode);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CONNECTED_SOCKET_H_
