// SPDX-License-Identifier: Apache-2.0
#include "service/peer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// Where the last 64 bits of an IPv6 address begin.
constexpr int kNetworkBytes = 8;

}  // namespace

std::string PeerAddress(absl::string_view peer) {
  const absl::string_view address = peer.substr(0, peer.rfind(':'));
  if (absl::StartsWith(peer, "ipv4:")) return std::string(address);
  absl::string_view host = address;
  if (!absl::ConsumePrefix(&host, "ipv6:")) return "";
  // gRPC escapes the brackets, and the sign before a zone.
  absl::ConsumePrefix(&host, "%5B");
  const std::string text(host.substr(0, host.find('%')));
  in6_addr ip;
  if (inet_pton(AF_INET6, text.c_str(), &ip) != 1) return std::string(address);
  std::fill(std::begin(ip.s6_addr) + kNetworkBytes, std::end(ip.s6_addr), 0);
  char network[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, &ip, network, sizeof(network));
  return absl::StrCat("ipv6:", network, "/64");
}

}  // namespace rwkvd
