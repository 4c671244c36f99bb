// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listening_sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/listen_error.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kUnixScheme = "unix:";

// How often to choose a port for a name with several addresses, if the port
// that is free at the first one is in use at another.
constexpr int kPortAttempts = 10;

struct HostAndPort {
  std::string host;  // without brackets
  int port;
};

// A resolved address. A value.
struct IpAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

absl::Status Malformed(absl::string_view address) {
  return absl::InvalidArgumentError(absl::StrCat(
      Quoted(address), " is not host:port with a port in [0, 65535]",
      " (an IPv6 address in brackets) or unix:path"));
}

absl::StatusOr<HostAndPort> Split(absl::string_view address) {
  const size_t colon = address.rfind(':');
  HostAndPort result;
  if (colon == absl::string_view::npos ||
      !absl::SimpleAtoi(address.substr(colon + 1), &result.port) ||
      result.port < 0 || result.port > 65535) {
    return Malformed(address);
  }
  absl::string_view host = address.substr(0, colon);
  const bool brackets =
      absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (host.empty() || absl::StrContains(host, '[') ||
      absl::StrContains(host, ']') || absl::StrContains(host, '\0') ||
      absl::StrContains(host, ':') != brackets) {
    return Malformed(address);
  }
  result.host = std::string(host);
  return result;
}

// "/path" of "unix:/path" and of "unix:///path", "path" of "unix:path".
std::string PathOf(absl::string_view address) {
  absl::ConsumePrefix(&address, kUnixScheme);
  if (absl::StartsWith(address, "///")) address.remove_prefix(2);
  return std::string(address);
}

absl::StatusOr<std::vector<IpAddress>> Resolve(const std::string& address,
                                               const std::string& host) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error == EAI_SYSTEM) return ListenError(address, errno);
  if (error != 0) return ListenError(address, gai_strerror(error));
  std::vector<IpAddress> result;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    IpAddress& ip = result.emplace_back();
    std::memcpy(&ip.storage, info->ai_addr, info->ai_addrlen);
    ip.length = info->ai_addrlen;
  }
  freeaddrinfo(found);
  return result;
}

bool IsWildcard(const IpAddress& ip) {
  if (ip.storage.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(ip.storage).sin_addr.s_addr ==
           htonl(INADDR_ANY);
  }
  const auto& address = reinterpret_cast<const sockaddr_in6&>(ip.storage);
  return IN6_IS_ADDR_UNSPECIFIED(&address.sin6_addr);
}

bool IsLoopback(const IpAddress& ip) {
  constexpr uint32_t kLoopbackNetwork = IN_LOOPBACKNET;  // 127.0.0.0/8
  if (ip.storage.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(ip.storage);
    return ntohl(address.sin_addr.s_addr) >> IN_CLASSA_NSHIFT ==
           kLoopbackNetwork;
  }
  const auto& address =
      reinterpret_cast<const sockaddr_in6&>(ip.storage).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&address) ||
         (IN6_IS_ADDR_V4MAPPED(&address) &&
          address.s6_addr[12] == kLoopbackNetwork);
}

// [::], which includes IPv4.
IpAddress AnyAddress() {
  IpAddress ip;
  auto& address = reinterpret_cast<sockaddr_in6&>(ip.storage);
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_any;
  ip.length = sizeof(sockaddr_in6);
  return ip;
}

IpAddress AnyIpv4Address() {
  IpAddress ip;
  auto& address = reinterpret_cast<sockaddr_in&>(ip.storage);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  ip.length = sizeof(sockaddr_in);
  return ip;
}

in_port_t& PortOf(IpAddress& ip) {
  return ip.storage.ss_family == AF_INET
             ? reinterpret_cast<sockaddr_in&>(ip.storage).sin_port
             : reinterpret_cast<sockaddr_in6&>(ip.storage).sin6_port;
}

bool SetOption(const OwnedFd& socket, int level, int name, int value) {
  return setsockopt(socket.get(), level, name, &value, sizeof(value)) == 0;
}

// Returns an invalid descriptor, and sets errno, if that fails. `port` is 0 for
// any; it becomes the one that was chosen.
OwnedFd ListenAt(IpAddress ip, int* port) {
  OwnedFd fd(socket(ip.storage.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return {};
  PortOf(ip) = htons(static_cast<uint16_t>(*port));
  // All connections inherit TCP_NODELAY: a token must not wait for the next.
  // Without SO_REUSEADDR a restarted server could not listen for a minute.
  bool ok = SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
            SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (ip.storage.ss_family == AF_INET6) {
    const int only = IsWildcard(ip) ? 0 : 1;
    ok = ok && SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, only);
  }
  ok = ok && bind(fd.get(), ip.get(), ip.length) == 0 &&
       listen(fd.get(), SOMAXCONN) == 0 &&
       getsockname(fd.get(), ip.get(), &ip.length) == 0;
  if (!ok) {
    const int error = errno;
    fd.Close();
    errno = error;
    return {};
  }
  *port = ntohs(PortOf(ip));
  return fd;
}

// Whether this host has no such address, or no addresses of this family.
bool IsAbsent(int error) {
  return error == EADDRNOTAVAIL || error == EAFNOSUPPORT ||
         error == EPROTONOSUPPORT;
}

// The sockets at all of `ips`, without those that this host does not have.
// If there are none, returns an empty vector. In both cases, and if `ips` are
// in use or cannot be used, `error` becomes the last errno.
std::vector<OwnedFd> ListenAtAll(const std::vector<IpAddress>& ips, int* port,
                                 int* error) {
  std::vector<OwnedFd> sockets;
  for (const IpAddress& ip : ips) {
    OwnedFd fd = ListenAt(ip, port);
    if (fd.valid()) {
      sockets.push_back(std::move(fd));
    } else {
      *error = errno;
      if (!IsAbsent(*error)) return {};
    }
  }
  return sockets;
}

std::vector<OwnedFd> ListenAtAnyAddress(int* port, int* error) {
  std::vector<OwnedFd> sockets = ListenAtAll({AnyAddress()}, port, error);
  if (!sockets.empty() || !IsAbsent(*error)) return sockets;
  return ListenAtAll({AnyIpv4Address()}, port, error);  // without IPv6
}

}  // namespace

absl::Status CheckListenAddress(absl::string_view address) {
  if (absl::StartsWith(address, kUnixScheme)) return absl::OkStatus();
  return Split(address).status();
}

absl::StatusOr<ListeningSockets> ListeningSockets::Open(
    const std::string& address, std::optional<mode_t> unix_mode) {
  if (!absl::StartsWith(address, kUnixScheme)) return OpenTcp(address);
  ListeningSockets result;
  RWKVD_ASSIGN_OR_RETURN(result.unix_socket_,
                         UnixSocket::Listen(PathOf(address), unix_mode));
  result.address_ = absl::StrCat(kUnixScheme, PathOf(address));
  return result;
}

absl::StatusOr<ListeningSockets> ListeningSockets::OpenTcp(
    const std::string& address) {
  RWKVD_ASSIGN_OR_RETURN(const HostAndPort asked, Split(address));
  RWKVD_ASSIGN_OR_RETURN(const std::vector<IpAddress> ips,
                         Resolve(address, asked.host));
  ListeningSockets result;
  int error = EADDRNOTAVAIL;
  for (int i = 0; i < kPortAttempts && result.tcp_sockets_.empty(); ++i) {
    int port = asked.port;
    result.tcp_sockets_ = ips.size() == 1 && IsWildcard(ips[0])
                              ? ListenAtAnyAddress(&port, &error)
                              : ListenAtAll(ips, &port, &error);
    result.address_ =
        absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
    if (asked.port != 0 || error != EADDRINUSE) break;
  }
  if (result.tcp_sockets_.empty()) return ListenError(address, error);
  result.is_local_ = std::all_of(ips.begin(), ips.end(), IsLoopback);
  return result;
}

std::vector<int> ListeningSockets::fds() const {
  if (unix_socket_ != nullptr) return {unix_socket_->fd()};
  std::vector<int> result;
  for (const OwnedFd& socket : tcp_sockets_) result.push_back(socket.get());
  return result;
}

}  // namespace rwkvd
