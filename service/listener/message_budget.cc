// SPDX-License-Identifier: Apache-2.0
#include "service/listener/message_budget.h"

#include <algorithm>

namespace rwkvd {

MessageBudget::Limits MessageBudget::Limits::Derive(int64_t grpc_memory_bytes) {
  return {.per_peer = grpc_memory_bytes / 2,
          .total = grpc_memory_bytes / 8 * 5};
}

std::unique_ptr<MessageBudget::Share> MessageBudget::NewShare(
    std::shared_ptr<MessageBudget> budget, const std::string& peer,
    std::function<void()> close) {
  MessageBudget& entered = *budget;
  std::unique_ptr<Share> share(new Share(std::move(budget)));
  absl::MutexLock lock(&entered.mutex_);
  entered.connections_[share.get()] = {
      .peer = {peer, peer.empty() ? share.get() : nullptr},
      .close = std::move(close)};
  return share;
}

int64_t MessageBudget::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

bool MessageBudget::Add(const Share* share, int64_t change) {
  std::function<void()> close;
  {
    absl::MutexLock lock(&mutex_);
    Connection& own = connections_.at(share);
    if (own.is_closed) return false;
    Count(own, change);
    const Peer* const peer = change > 0 ? Exceeding(own.peer) : nullptr;
    if (peer == nullptr) return true;
    // One is enough: it has at least as much as `own`, and so as `change`.
    Connection& largest = LargestOf(*peer);
    Count(largest, -largest.bytes);
    largest.is_closed = true;
    if (&largest == &own) return false;
    close = std::move(largest.close);
  }
  close();
  return true;
}

void MessageBudget::Remove(const Share* share) {
  absl::MutexLock lock(&mutex_);
  const auto found = connections_.find(share);
  Count(found->second, -found->second.bytes);
  connections_.erase(found);
}

void MessageBudget::Count(Connection& connection, int64_t change) {
  if (change == 0) return;
  connection.bytes += change;
  bytes_ += change;
  const auto peer = by_peer_.try_emplace(connection.peer, 0).first;
  peer->second += change;
  if (peer->second == 0) by_peer_.erase(peer);
}

const MessageBudget::Peer* MessageBudget::Exceeding(const Peer& peer) const {
  const auto found = by_peer_.find(peer);
  if (found != by_peer_.end() && found->second > limits_.per_peer) {
    return &found->first;
  }
  if (bytes_ <= limits_.total) return nullptr;
  return &std::max_element(
              by_peer_.begin(), by_peer_.end(),
              [](const auto& a, const auto& b) { return a.second < b.second; })
              ->first;
}

MessageBudget::Connection& MessageBudget::LargestOf(const Peer& peer) {
  Connection* largest = nullptr;
  for (auto& [share, connection] : connections_) {
    if (connection.peer != peer) continue;
    if (largest == nullptr || connection.bytes > largest->bytes) {
      largest = &connection;
    }
  }
  return *largest;
}

}  // namespace rwkvd
