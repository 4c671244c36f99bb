// SPDX-License-Identifier: Apache-2.0
#include "service/listener/socket_filter.h"

#include <dlfcn.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "service/listener/connected_socket.h"

namespace rwkvd {
namespace {

struct FilteredSocket {
  uint64_t inode;  // identifies the socket, unlike its descriptor
  SocketFilter filter;
  bool refused = false;  // used by the thread that receives
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
    // What it replaces is destroyed without the lock.
    absl::MutexLock lock(&mutex_);
    by_fd_[fd].swap(socket);
  }

  // Null if the descriptor's socket has no filter.
  std::shared_ptr<FilteredSocket> Find(int fd) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<FilteredSocket> socket;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = by_fd_.find(fd);
      if (found == by_fd_.end()) return nullptr;
      socket = found->second;
    }
    if (socket->inode == SocketInode(fd)) return socket;
    Remove(fd, socket);
    return nullptr;
  }

  void Remove(int fd, const std::shared_ptr<FilteredSocket>& socket)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto found = by_fd_.find(fd);
    if (found != by_fd_.end() && found->second == socket) by_fd_.erase(found);
  }

  void RemoveClosed() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<int> fds;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [fd, socket] : by_fd_) fds.push_back(fd);
    }
    for (const int fd : fds) Find(fd);
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<int, std::shared_ptr<FilteredSocket>> by_fd_
      ABSL_GUARDED_BY(mutex_);
};

using ReceiveMessage = ssize_t (*)(int, msghdr*, int);
using SendMessage = ssize_t (*)(int, const msghdr*, int);

template <typename Function>
Function LibraryFunction(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// Calls `see` with the first `size` bytes of a message, part by part, as long
// as it returns true. Returns whether it always has.
bool ForEachPart(const msghdr& message, size_t size,
                 absl::FunctionRef<bool(absl::string_view)> see) {
  for (size_t i = 0; size > 0 && i < message.msg_iovlen; ++i) {
    const iovec& part = message.msg_iov[i];
    const size_t used = std::min(size, part.iov_len);
    if (!see({static_cast<const char*>(part.iov_base), used})) return false;
    size -= used;
  }
  return true;
}

bool IsTemporary(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// What recvmsg() does in this program.
ssize_t ReceiveFiltered(int fd, msghdr* message, int flags) {
  static const auto receive = LibraryFunction<ReceiveMessage>("recvmsg");
  const ssize_t size = receive(fd, message, flags);
  // Neither what stays in the socket nor reports about sent bytes.
  if ((flags & (MSG_PEEK | MSG_ERRQUEUE)) != 0) return size;
  const int error = errno;
  if (size < 0 && IsTemporary(error)) return size;
  const std::shared_ptr<FilteredSocket> socket =
      FilteredSockets::Get().Find(fd);
  if (socket != nullptr && size <= 0) FilteredSockets::Get().Remove(fd, socket);
  errno = error;
  if (socket == nullptr || size <= 0) return size;
  if (!socket->refused) {
    socket->refused = !ForEachPart(*message, static_cast<size_t>(size),
                                   socket->filter.on_received);
  }
  if (!socket->refused) return size;
  errno = ECONNRESET;
  return -1;
}

// What sendmsg() does in this program.
ssize_t SendFiltered(int fd, const msghdr* message, int flags) {
  static const auto send = LibraryFunction<SendMessage>("sendmsg");
  const ssize_t size = send(fd, message, flags);
  if (size <= 0) return size;
  const std::shared_ptr<FilteredSocket> socket =
      FilteredSockets::Get().Find(fd);
  if (socket == nullptr || socket->filter.on_sent == nullptr) return size;
  ForEachPart(*message, static_cast<size_t>(size), [&](absl::string_view part) {
    socket->filter.on_sent(part);
    return true;
  });
  return size;
}

}  // namespace

void FilterSocket(int fd, SocketFilter filter) {
  FilteredSockets::Get().Add(
      fd, std::make_shared<FilteredSocket>(
              FilteredSocket{SocketInode(fd), std::move(filter)}));
}

void RemoveFiltersOfClosedSockets() { FilteredSockets::Get().RemoveClosed(); }

}  // namespace rwkvd

extern "C" ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return rwkvd::ReceiveFiltered(fd, message, flags);
}

extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return rwkvd::SendFiltered(fd, message, flags);
}
