// SPDX-License-Identifier: Apache-2.0
#include "service/listener/receive_filter.h"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {
namespace {

struct FilteredSocket {
  uint64_t inode;  // identifies the socket, unlike its descriptor
  ReceiveFilter filter;
  bool refused = false;
};

// The sockets with a filter, by descriptor. Thread-safe.
class FilteredSockets {
 public:
  // Never destroyed, since gRPC's threads outlive main().
  static FilteredSockets& Get() {
    static auto* const sockets = new FilteredSockets();
    return *sockets;
  }

  void Add(int fd, std::shared_ptr<FilteredSocket> socket)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    by_fd_[fd] = std::move(socket);
  }

  // Null if the descriptor's socket has no filter.
  std::shared_ptr<FilteredSocket> Find(int fd) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto found = by_fd_.find(fd);
    if (found == by_fd_.end()) return nullptr;
    if (found->second->inode == InodeOf(fd)) return found->second;
    by_fd_.erase(found);
    return nullptr;
  }

  void Remove(int fd) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    by_fd_.erase(fd);
  }

  static uint64_t InodeOf(int fd) {
    struct stat file;
    return fstat(fd, &file) == 0 ? file.st_ino : 0;
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<int, std::shared_ptr<FilteredSocket>> by_fd_
      ABSL_GUARDED_BY(mutex_);
};

using ReceiveMessage = ssize_t (*)(int, msghdr*, int);

ReceiveMessage LibraryFunction() {
  static const auto function =
      reinterpret_cast<ReceiveMessage>(dlsym(RTLD_NEXT, "recvmsg"));
  return function;
}

// Shows the `size` bytes that were received into `message` to the filter.
bool Accepts(const ReceiveFilter& filter, const msghdr& message, size_t size) {
  for (size_t i = 0; size > 0 && i < message.msg_iovlen; ++i) {
    const iovec& part = message.msg_iov[i];
    const size_t used = std::min(size, part.iov_len);
    if (!filter({static_cast<const char*>(part.iov_base), used})) return false;
    size -= used;
  }
  return true;
}

}  // namespace

void FilterReceivedBytes(int fd, ReceiveFilter filter) {
  FilteredSockets::Get().Add(
      fd, std::make_shared<FilteredSocket>(
              FilteredSocket{FilteredSockets::InodeOf(fd), std::move(filter)}));
}

// What recvmsg() does in this program.
ssize_t ReceiveFiltered(int fd, msghdr* message, int flags) {
  const ssize_t size = LibraryFunction()(fd, message, flags);
  // Neither what stays in the socket nor reports about sent bytes.
  if (size < 0 || (flags & (MSG_PEEK | MSG_ERRQUEUE)) != 0) return size;
  const std::shared_ptr<FilteredSocket> socket =
      FilteredSockets::Get().Find(fd);
  if (socket == nullptr) return size;
  if (size == 0) {
    FilteredSockets::Get().Remove(fd);
    return size;
  }
  if (!socket->refused) {
    socket->refused =
        !Accepts(socket->filter, *message, static_cast<size_t>(size));
  }
  if (!socket->refused) return size;
  errno = ECONNRESET;
  return -1;
}

}  // namespace rwkvd

extern "C" ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return rwkvd::ReceiveFiltered(fd, message, flags);
}
