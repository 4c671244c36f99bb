// SPDX-License-Identifier: Apache-2.0
#include "service/listener/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "service/listener/listen_error.h"

namespace rwkvd {
namespace {

// How often to try again when another process removes the lock file between
// opening and locking it.
constexpr int kLockAttempts = 100;

constexpr char kInUse[] = "another process listens there";

std::string LockPath(const std::string& path) { return path + ".lock"; }

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t longest = sizeof(address.sun_path) - 1;
  if (path.empty()) return ListenError("unix:", "the path is empty");
  if (path.size() > longest) {
    return ListenError("unix:" + path,
                       absl::StrCat("the path has ", path.size(),
                                    " bytes; at most ", longest, " fit"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether the path names the open file `fd`.
bool IsFileAt(int fd, const std::string& path) {
  struct stat open_file, named;
  return fstat(fd, &open_file) == 0 && lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

absl::StatusOr<OwnedFd> TakeLock(const std::string& path) {
  const std::string lock_path = LockPath(path);
  for (int i = 0; i < kLockAttempts; ++i) {
    OwnedFd lock(open(lock_path.c_str(),
                      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                      0600));
    if (!lock.valid()) {
      return ListenError("unix:" + path,
                         absl::StrCat("cannot open the lock file ", lock_path,
                                      ": ", std::strerror(errno)));
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return ListenError(
          "unix:" + path,
          absl::StrCat(errno == EWOULDBLOCK ? kInUse : std::strerror(errno),
                       " (lock file ", lock_path, ")"));
    }
    // Otherwise the previous server has removed the file in the meantime.
    if (IsFileAt(lock.get(), lock_path)) return lock;
  }
  return ListenError("unix:" + path,
                     absl::StrCat("the lock file ", lock_path,
                                  " is created and removed all the time"));
}

// OK if no process listens at the socket that the path names: connecting to it
// is refused.
absl::Status CheckIsStale(const std::string& path, const sockaddr_un& address) {
  const OwnedFd probe(
      socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return ListenError("unix:" + path, errno);
  const bool connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0;
  // EAGAIN: its queue of connections is full.
  if (connected || errno == EAGAIN) return ListenError("unix:" + path, kInUse);
  if (errno == ECONNREFUSED || errno == ENOENT) return absl::OkStatus();
  return ListenError("unix:" + path,
                     absl::StrCat("there is a socket that cannot be examined: ",
                                  std::strerror(errno)));
}

absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ListenError("unix:" + path, errno);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return ListenError("unix:" + path,
                       "there is a file that is not a socket; remove it");
  }
  RWKVD_RETURN_IF_ERROR(CheckIsStale(path, address));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ListenError("unix:" + path,
                       absl::StrCat("cannot remove the socket that an earlier "
                                    "server has left: ",
                                    std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixSocket>> UnixSocket::Listen(
    const std::string& path, std::optional<mode_t> mode) {
  RWKVD_RETURN_IF_ERROR(AddressOf(path).status());
  RWKVD_ASSIGN_OR_RETURN(OwnedFd lock, TakeLock(path));
  std::unique_ptr<UnixSocket> result(new UnixSocket(path, std::move(lock)));
  RWKVD_RETURN_IF_ERROR(result->Bind(mode));
  return result;
}

absl::Status UnixSocket::Bind(std::optional<mode_t> mode) {
  RWKVD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path_));
  RWKVD_RETURN_IF_ERROR(RemoveStale(path_, address));
  socket_ =
      OwnedFd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.valid() ||
      bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    return ListenError("unix:" + path_, errno);
  }
  struct stat bound;
  if (lstat(path_.c_str(), &bound) != 0) {
    return ListenError("unix:" + path_, errno);
  }
  device_ = bound.st_dev;
  inode_ = bound.st_ino;
  // Nobody can connect before it listens.
  if ((mode.has_value() && chmod(path_.c_str(), *mode) != 0) ||
      listen(socket_.get(), SOMAXCONN) != 0) {
    return ListenError("unix:" + path_, errno);
  }
  return absl::OkStatus();
}

UnixSocket::~UnixSocket() {
  // Before the socket is closed, so that its inode is not used again.
  struct stat found;
  if (inode_ != 0 && lstat(path_.c_str(), &found) == 0 &&
      found.st_dev == device_ && found.st_ino == inode_) {
    unlink(path_.c_str());
  }
  // The lock is still held, so this is the file that TakeLock has opened, or
  // somebody else has replaced it.
  if (IsFileAt(lock_.get(), LockPath(path_))) unlink(LockPath(path_).c_str());
}

}  // namespace rwkvd
