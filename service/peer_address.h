// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_PEER_ADDRESS_H_
#define RWKVD_SERVICE_PEER_ADDRESS_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// The host of a peer (see ServerContext::peer), such as "ipv4:10.0.0.1" of
// "ipv4:10.0.0.1:4711". Empty for Unix sockets: their clients cannot be
// distinguished.
absl::string_view PeerAddress(absl::string_view peer);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_PEER_ADDRESS_H_
