// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CONNECTION_TABLE_H_
#define RWKVD_SERVICE_LISTENER_CONNECTION_TABLE_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "service/listener/connected_socket.h"

namespace rwkvd {

// The peer for which connections are counted together: an IPv4 address, or the
// first 64 bits of an IPv6 address, since a single host usually has all
// addresses of such a network. Empty for Unix sockets, whose peers have no
// addresses. An opaque key.
std::string PeerKey(const sockaddr_storage& peer);

// The address and port of a peer, by which gRPC's statistics identify its
// connection. Empty for Unix sockets. An opaque key.
std::string EndpointKey(const sockaddr_storage& peer);

// How many connections may be open at a time. A value.
struct ConnectionLimits {
  int total = 0;
  int per_peer = 0;  // does not apply to Unix sockets
};

// The open connections of a server, and the decision whether one more is within
// the limits.
//
// gRPC owns the descriptors of connections and closes them without notice, so
// the table compares each descriptor's socket with the one that was admitted
// under this number. It does so when a limit is reached, when a number comes
// back with a new connection, and when connections are counted; so a
// connection that has ended never causes a refusal. Thread-safe.
class ConnectionTable {
 public:
  enum class Decision { kAdmitted, kTooMany, kTooManyOfPeer };

  explicit ConnectionTable(const ConnectionLimits& limits)
      : ConnectionTable(limits, &SocketInode) {}
  // The same with another way to identify sockets, for tests.
  ConnectionTable(const ConnectionLimits& limits, IdentifySocket identify)
      : limits_(limits), identify_(identify) {}

  // Enters the connection `fd`, which was just accepted, unless that would
  // exceed a limit. `peer` is a PeerKey, `endpoint` an EndpointKey.
  Decision Admit(int fd, const std::string& peer,
                 const std::string& endpoint = "") ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the open connection of this nonempty endpoint; gRPC notices that and
  // closes it. False if there is none.
  bool ShutDown(const std::string& endpoint) ABSL_LOCKS_EXCLUDED(mutex_);

  // The number of connections that are open now.
  int Count() ABSL_LOCKS_EXCLUDED(mutex_);

  // True only if there are none. Fast, and unaware of those that have ended
  // since the last Count.
  bool IsEmpty() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ConnectionLimits& limits() const { return limits_; }

 private:
  struct Connection {
    uint64_t socket;  // what `identify_` returned when it was admitted
    std::string peer;
    std::string endpoint;
  };

  bool IsOpen(int fd) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveEndedOf(const std::string& peer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsFull() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsFullFor(const std::string& peer) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ConnectionLimits limits_;
  const IdentifySocket identify_;

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<int, Connection> connections_ ABSL_GUARDED_BY(mutex_);
  // The descriptors of each peer that has some and whose number is limited.
  absl::flat_hash_map<std::string, absl::flat_hash_set<int>> by_peer_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CONNECTION_TABLE_H_
