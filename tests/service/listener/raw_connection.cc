// SPDX-License-Identifier: Apache-2.0
#include "tests/service/listener/raw_connection.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/match.h"

namespace rwkvd {
namespace {

constexpr size_t kFrameHeaderBytes = 9;

bool ConnectTcp(const OwnedFd& fd, const std::string& port) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
}

bool ConnectUnix(const OwnedFd& fd, const std::string& path) {
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  std::strncpy(to.sun_path, path.c_str(), sizeof(to.sun_path) - 1);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
}

}  // namespace

RawConnection::RawConnection(const std::string& address) {
  const std::string rest = address.substr(address.rfind(':') + 1);
  if (absl::StartsWith(address, "unix:")) {
    fd_ = OwnedFd(socket(AF_UNIX, SOCK_STREAM, 0));
    connected_ = ConnectUnix(fd_, rest);
  } else {
    fd_ = OwnedFd(socket(AF_INET, SOCK_STREAM, 0));
    connected_ = ConnectTcp(fd_, rest);
  }
}

bool RawConnection::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void RawConnection::StartHttp2() {
  Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  Send(absl::string_view("\0\0\0\4\0\0\0\0\0", kFrameHeaderBytes));
}

bool RawConnection::Read(size_t size, std::string* bytes) {
  bytes->resize(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd_.get(), bytes->data() + done, size - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool RawConnection::ReadUntilFrame(uint8_t type) {
  std::string header, payload;
  while (Read(kFrameHeaderBytes, &header)) {
    const auto byte = [&](int i) { return static_cast<uint8_t>(header[i]); };
    const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    if (!Read(size, &payload)) return false;
    if (byte(3) == type) return true;
  }
  return false;
}

void RawConnection::ReadUntilEnd() {
  char bytes[4096];
  while (read(fd_.get(), bytes, sizeof(bytes)) > 0) {
  }
}

}  // namespace rwkvd
