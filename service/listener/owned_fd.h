// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_OWNED_FD_H_
#define RWKVD_SERVICE_LISTENER_OWNED_FD_H_

#include <unistd.h>

#include <utility>

namespace rwkvd {

// A file descriptor that the destructor closes. -1 stands for none.
// Thread-compatible.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd() { Close(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Returns the descriptor, which the caller owns from now on.
  int Release() { return std::exchange(fd_, -1); }

  void Close() {
    if (valid()) close(Release());
  }

 private:
  int fd_ = -1;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_OWNED_FD_H_
