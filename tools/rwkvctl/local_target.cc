// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/local_target.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// Without brackets, port and zone of an IPv6 address.
std::string HostOf(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    return std::string(address.substr(0, address.find_first_of("]%")));
  }
  const size_t colon = address.find(':');
  // Several colons without brackets: an IPv6 address without a port.
  if (address.rfind(':') == colon) address = address.substr(0, colon);
  return std::string(address.substr(0, address.find('%')));
}

bool IsLoopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(address);
    const uint32_t host = ntohl(ipv4->sin_addr.s_addr);
    return host >> 24 == IN_LOOPBACKNET || host == INADDR_ANY;
  }
  if (address->sa_family != AF_INET6) return false;
  const in6_addr& ipv6 =
      reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&ipv6) || IN6_IS_ADDR_UNSPECIFIED(&ipv6) ||
         (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == IN_LOOPBACKNET);
}

// Whether the name or address has addresses, and all are on loopback.
bool ResolvesToLoopback(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  bool all = true;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    all = all && IsLoopback(info->ai_addr);
  }
  freeaddrinfo(found);
  return all;
}

bool IsLocalHost(absl::string_view address) {
  const std::string host = absl::AsciiStrToLower(HostOf(address));
  const absl::string_view name = absl::StripSuffix(host, ".");
  if (name == "localhost" || absl::EndsWith(name, ".localhost")) return true;
  return !host.empty() && ResolvesToLoopback(host);
}

}  // namespace

bool IsLocalTarget(absl::string_view target) {
  if (absl::StartsWith(target, "unix:") ||
      absl::StartsWith(target, "unix-abstract:")) {
    return true;
  }
  if (absl::ConsumePrefix(&target, "dns:")) {
    // dns://server/name
    if (absl::ConsumePrefix(&target, "//")) {
      target = target.substr(target.find('/') + 1);
    }
    return IsLocalHost(target);
  }
  if (absl::ConsumePrefix(&target, "ipv4:") ||
      absl::ConsumePrefix(&target, "ipv6:")) {
    for (absl::string_view address : absl::StrSplit(target, ',')) {
      if (!IsLocalHost(address)) return false;
    }
    return true;
  }
  return IsLocalHost(target);
}

bool HasProxySetting() {
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') return true;
  }
  return false;
}

}  // namespace rwkvd
