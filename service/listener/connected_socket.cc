// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connected_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "service/listener/owned_fd.h"

namespace rwkvd {
namespace {

// Discards what was received and not read yet, which gRPC would still process:
// megabytes may contain tens of thousands of calls.
void Discard(int fd) {
  constexpr int kMaxReads = 256;
  char unused[1 << 16];
  for (int i = 0; i < kMaxReads; ++i) {
    if (recv(fd, unused, sizeof(unused), MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace

uint64_t SocketInode(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0 || !S_ISSOCK(file.st_mode)) return 0;
  return file.st_ino;
}

bool ShutDownSocket(int fd, uint64_t socket, IdentifySocket identify) {
  // The duplicate stays the same socket even if gRPC closes `fd` now.
  const OwnedFd same(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!same.valid() || identify(same.get()) != socket) return false;
  Discard(same.get());
  const bool done = shutdown(same.get(), SHUT_RDWR) == 0;
  Discard(same.get());
  return done;
}

}  // namespace rwkvd
