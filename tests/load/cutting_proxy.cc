// SPDX-License-Identifier: Apache-2.0
#include "tests/load/cutting_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RWKVD_CHECK(fd >= 0);
  return fd;
}

// Waits until one of `fds` is readable. Returns whether the last one is not.
template <size_t kCount>
bool WaitFor(pollfd (&fds)[kCount]) {
  while (poll(fds, kCount, -1) < 0) {
  }
  return fds[kCount - 1].revents == 0;
}

// Forwards the available bytes of `from`, at most `limit`. Returns their
// number, 0 at its end.
int64_t Pump(int from, int to, int64_t limit) {
  char bytes[16384];
  const auto size = static_cast<size_t>(
      limit < static_cast<int64_t>(sizeof(bytes)) ? limit : sizeof(bytes));
  const ssize_t count = recv(from, bytes, size, 0);
  if (count <= 0) return 0;
  for (ssize_t sent = 0; sent < count;) {
    const ssize_t some = send(to, bytes + sent, count - sent, MSG_NOSIGNAL);
    if (some <= 0) return 0;
    sent += some;
  }
  return count;
}

void Close(int fd, CuttingProxy::Cut cut) {
  if (cut == CuttingProxy::Cut::kReset) {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  close(fd);
}

}  // namespace

CuttingProxy::CuttingProxy(const std::string& server, int64_t bytes, Cut cut)
    : listener_(NewSocket()), stop_fd_(eventfd(0, EFD_CLOEXEC)) {
  RWKVD_CHECK(stop_fd_ >= 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  RWKVD_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) ==
              0);
  RWKVD_CHECK(listen(listener_, 1) == 0);
  RWKVD_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address),
                          &size) == 0);
  address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  int port = 0;
  RWKVD_CHECK(absl::SimpleAtoi(server.substr(server.rfind(':') + 1), &port));
  thread_ = std::thread([this, port, bytes, cut] {
    Run(static_cast<uint16_t>(port), bytes, cut);
  });
}

CuttingProxy::~CuttingProxy() {
  const uint64_t one = 1;
  RWKVD_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
  close(stop_fd_);
}

void CuttingProxy::Run(uint16_t server_port, int64_t bytes, Cut cut) {
  pollfd arrival[] = {{listener_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  const bool arrived = WaitFor(arrival);
  const int client = arrived ? accept(listener_, nullptr, nullptr) : -1;
  close(listener_);
  if (client < 0) return;
  const int server = NewSocket();
  const sockaddr_in address = Loopback(server_port);
  bool open = connect(server, reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)) == 0;
  pollfd fds[] = {
      {client, POLLIN, 0}, {server, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  constexpr int64_t kAll = int64_t{1} << 20;
  while (open && bytes > 0 && WaitFor(fds)) {
    if (fds[0].revents != 0) open = Pump(client, server, kAll) > 0;
    if (open && fds[1].revents != 0) {
      const int64_t count = Pump(server, client, bytes);
      bytes -= count;
      open = count > 0;
    }
  }
  Close(client, cut);
  Close(server, cut);
}

}  // namespace rwkvd::testing
