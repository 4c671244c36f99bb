// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_PEER_ADDRESS_H_
#define RWKVD_SERVICE_PEER_ADDRESS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Identifies the host of a peer (see ServerContext::peer): "ipv4:10.0.0.1" for
// "ipv4:10.0.0.1:4711", and the first 64 bits of an IPv6 address, as in
// PeerKey, since a single host usually has all addresses of such a network.
// Empty for Unix sockets: their clients cannot be
// distinguished.
std::string PeerAddress(absl::string_view peer);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_PEER_ADDRESS_H_
