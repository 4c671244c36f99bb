// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connection_table.h"

#include <netinet/in.h>

#include <vector>

namespace rwkvd {
namespace {

// A network of IPv6 that a single host can use: its first 64 bits.
constexpr size_t kNetworkBytes = 8;

std::string BytesOf(const void* data, size_t size) {
  return std::string(static_cast<const char*>(data), size);
}

// An IPv4 address that is mapped to IPv6 counts as IPv4.
std::string AddressBytes(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(peer);
    return BytesOf(&ipv4.sin_addr, sizeof(ipv4.sin_addr));
  }
  if (peer.ss_family != AF_INET6) return "";
  const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
    return BytesOf(&ipv6.s6_addr[12], sizeof(in_addr));
  }
  return BytesOf(&ipv6, sizeof(ipv6));
}

}  // namespace

std::string PeerKey(const sockaddr_storage& peer) {
  std::string bytes = AddressBytes(peer);
  if (bytes.size() == sizeof(in6_addr)) bytes.resize(kNetworkBytes);
  return bytes;
}

std::string EndpointKey(const sockaddr_storage& peer) {
  std::string key = AddressBytes(peer);
  if (key.empty()) return key;
  const in_port_t port =
      peer.ss_family == AF_INET
          ? reinterpret_cast<const sockaddr_in&>(peer).sin_port
          : reinterpret_cast<const sockaddr_in6&>(peer).sin6_port;
  return key + BytesOf(&port, sizeof(port));  // in network byte order
}

ConnectionTable::Decision ConnectionTable::Admit(int fd,
                                                 const std::string& peer,
                                                 const std::string& endpoint) {
  absl::MutexLock lock(&mutex_);
  Remove(fd);  // the system reuses only numbers that have been closed
  if (IsFullFor(peer)) RemoveEndedOf(peer);
  if (IsFullFor(peer)) return Decision::kTooManyOfPeer;
  if (IsFull()) RemoveEnded();
  if (IsFull()) return Decision::kTooMany;
  connections_[fd] = {identify_(fd), peer, endpoint};
  if (!peer.empty()) by_peer_[peer].insert(fd);
  return Decision::kAdmitted;
}

bool ConnectionTable::ShutDown(const std::string& endpoint) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [fd, connection] : connections_) {
    if (connection.endpoint != endpoint) continue;
    if (ShutDownSocket(fd, connection.socket, identify_)) return true;
  }
  return false;
}

int ConnectionTable::Count() {
  absl::MutexLock lock(&mutex_);
  RemoveEnded();
  return static_cast<int>(connections_.size());
}

bool ConnectionTable::IsEmpty() const {
  absl::MutexLock lock(&mutex_);
  return connections_.empty();
}

bool ConnectionTable::IsOpen(int fd) const {
  return identify_(fd) == connections_.at(fd).socket;
}

void ConnectionTable::Remove(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  const auto of_peer = by_peer_.find(found->second.peer);
  if (of_peer != by_peer_.end()) {
    of_peer->second.erase(fd);
    if (of_peer->second.empty()) by_peer_.erase(of_peer);
  }
  connections_.erase(found);
}

void ConnectionTable::RemoveEnded() {
  std::vector<int> ended;
  for (const auto& [fd, connection] : connections_) {
    if (identify_(fd) != connection.socket) ended.push_back(fd);
  }
  for (const int fd : ended) Remove(fd);
}

void ConnectionTable::RemoveEndedOf(const std::string& peer) {
  std::vector<int> ended;
  for (const int fd : by_peer_.at(peer)) {
    if (!IsOpen(fd)) ended.push_back(fd);
  }
  for (const int fd : ended) Remove(fd);
}

bool ConnectionTable::IsFull() const {
  return static_cast<int>(connections_.size()) >= limits_.total;
}

bool ConnectionTable::IsFullFor(const std::string& peer) const {
  const auto found = by_peer_.find(peer);
  return found != by_peer_.end() &&
         static_cast<int>(found->second.size()) >= limits_.per_peer;
}

}  // namespace rwkvd
