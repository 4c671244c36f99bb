// SPDX-License-Identifier: Apache-2.0
#include "service/listener/accept_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/listener/clock_reading.h"

namespace rwkvd {
namespace {

// How long new connections wait after the system could not accept one and the
// reason may last: memory or descriptors of the whole system.
constexpr int kPauseMs = 100;

// How many connections to accept from one socket before the others.
constexpr int kAcceptsInTurn = 64;

OwnedFd OpenSpare() { return OwnedFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// Errors of the one connection that could not be accepted (accept(2)).
bool ConcernsOneConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status AcceptLoop::Start(std::vector<int> listening_fds,
                               Handlers handlers) {
  listening_fds_ = std::move(listening_fds);
  handlers_ = std::move(handlers);
  stop_fd_ = OwnedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  spare_fd_ = OpenSpare();
  if (!stop_fd_.valid() || !spare_fd_.valid()) {
    return absl::UnavailableError(
        absl::StrCat("cannot accept connections: ", std::strerror(errno)));
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void AcceptLoop::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  // Cannot fail: the counter is far from its maximum.
  [[maybe_unused]] const ssize_t written =
      write(stop_fd_.get(), &one, sizeof(one));
  thread_.join();
}

void AcceptLoop::Run() {
  std::vector<pollfd> watched = {{stop_fd_.get(), POLLIN, 0}};
  for (const int fd : listening_fds_) watched.push_back({fd, POLLIN, 0});
  bool pause = false;
  while (true) {
    // During a pause only Stop is watched.
    const int ready =
        pause ? poll(watched.data(), 1, kPauseMs)
              : poll(watched.data(), watched.size(), ticks_ ? kTickMs : -1);
    pause = false;
    Tick(ClockReading());
    if (ready <= 0) continue;  // interrupted, or the pause is over
    if (watched[0].revents != 0) return;
    for (size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0) pause |= AcceptFrom(watched[i].fd);
    }
  }
}

void AcceptLoop::Tick(absl::Duration now) {
  if (!ticks_ || now < last_tick_ + absl::Milliseconds(kTickMs)) return;
  last_tick_ = now;
  ticks_ = handlers_.on_tick();
}

bool AcceptLoop::AcceptFrom(int listening_fd) {
  for (int i = 0; i < kAcceptsInTurn; ++i) {
    sockaddr_storage peer = {};
    socklen_t length = sizeof(peer);
    OwnedFd connection(accept4(listening_fd, reinterpret_cast<sockaddr*>(&peer),
                               &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.valid()) {
      handlers_.on_connection(std::move(connection), peer);
      ticks_ = handlers_.on_tick != nullptr;
      continue;
    }
    const Next next = HandleFailure(listening_fd, errno);
    if (next != Next::kAccept) return next == Next::kPause;
  }
  return false;
}

AcceptLoop::Next AcceptLoop::HandleFailure(int listening_fd, int error) {
  if (error == EAGAIN) return Next::kPoll;
  if (ConcernsOneConnection(error)) return Next::kAccept;
  // accept() reports EMFILE even if no connection waits.
  const Next next =
      error == EMFILE ? AcceptAndClose(listening_fd) : Next::kPause;
  if (next != Next::kPoll) handlers_.on_failure(next == Next::kAccept, error);
  return next;
}

AcceptLoop::Next AcceptLoop::AcceptAndClose(int listening_fd) {
  if (!spare_fd_.valid()) spare_fd_ = OpenSpare();
  if (!spare_fd_.valid()) return Next::kPause;
  spare_fd_.Close();
  OwnedFd refused(accept4(listening_fd, nullptr, nullptr, SOCK_CLOEXEC));
  const int error = errno;
  const bool closed = refused.valid();
  refused.Close();
  spare_fd_ = OpenSpare();
  if (closed) return Next::kAccept;
  return error == EAGAIN ? Next::kPoll : Next::kPause;
}

}  // namespace rwkvd
