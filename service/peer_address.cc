// SPDX-License-Identifier: Apache-2.0
#include "service/peer_address.h"

#include "absl/strings/match.h"

namespace rwkvd {

absl::string_view PeerAddress(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) {
    return "";
  }
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace rwkvd
