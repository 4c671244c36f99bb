// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_UNIX_SOCKET_H_
#define RWKVD_SERVICE_LISTENER_UNIX_SOCKET_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {

// A socket that listens at a path of the file system.
//
// While it exists, it holds a lock on the file "PATH.lock", so that a second
// server cannot take the path; the lock ends with the process, however that
// ends. The destructor removes the socket from the file system, if the path
// still names this socket, and the lock file. Thread-compatible.
class UnixSocket {
 public:
  // Listens at `path`, and replaces a socket there at which no process listens.
  // `mode` are the socket's permissions; without it, the process's mask
  // decides. Unavailable, with the path and the system's reason, if the path is
  // empty, too long or no socket, if a process listens there, or if the system
  // refuses.
  static absl::StatusOr<std::unique_ptr<UnixSocket>> Listen(
      const std::string& path, std::optional<mode_t> mode = std::nullopt);
  ~UnixSocket();
  UnixSocket(const UnixSocket&) = delete;
  UnixSocket& operator=(const UnixSocket&) = delete;

  int fd() const { return socket_.get(); }

 private:
  UnixSocket(std::string path, OwnedFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  absl::Status Bind(std::optional<mode_t> mode);

  const std::string path_;
  OwnedFd lock_;
  OwnedFd socket_;
  // Identify the socket's entry in the file system; 0 before Bind.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_UNIX_SOCKET_H_
