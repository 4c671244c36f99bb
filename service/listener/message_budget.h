// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_MESSAGE_BUDGET_H_
#define RWKVD_SERVICE_LISTENER_MESSAGE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// Bounds the memory of all request messages that gRPC keeps because they are
// incomplete, or because the server has not read them. When gRPC's own quota is
// used up, it ends calls of any client; so connections are closed before that.
//
// If a peer exceeds its limit, its connection with the most bytes is closed. If
// all together exceed theirs, it is the one of the peer with the most bytes.
//
// Shared by the listener and its connections, which gRPC may read when the
// listener is gone. Thread-safe.
class MessageBudget {
 public:
  struct Limits {
    int64_t per_peer = std::numeric_limits<int64_t>::max();
    int64_t total = std::numeric_limits<int64_t>::max();

    // The limits for a server whose gRPC may use `grpc_memory_bytes`. The rest
    // is for calls, and for buffers of connections.
    static Limits Derive(int64_t grpc_memory_bytes);
  };

  // The bytes of one connection. They no longer count when it is destroyed.
  // Thread-safe.
  class Share {
   public:
    ~Share() { budget_->Remove(this); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Adds `change` to the bytes of the connection. Returns false if the
    // connection is to be closed. May close another one.
    bool Add(int64_t change) { return budget_->Add(this, change); }

   private:
    friend class MessageBudget;
    explicit Share(std::shared_ptr<MessageBudget> budget)
        : budget_(std::move(budget)) {}

    const std::shared_ptr<MessageBudget> budget_;
  };

  explicit MessageBudget(const Limits& limits) : limits_(limits) {}

  // Makes the share of a new connection of a peer (see PeerKey). A peer without
  // a key counts as a peer of its own. `close` closes the connection, if it is
  // still open; it is called by any thread, at most once.
  static std::unique_ptr<Share> NewShare(std::shared_ptr<MessageBudget> budget,
                                         const std::string& peer,
                                         std::function<void()> close);

  // The bytes of all connections.
  int64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Identifies a peer: its key, or its only connection if it has no key.
  using Peer = std::pair<std::string, const Share*>;

  struct Connection {
    Peer peer;
    std::function<void()> close;
    int64_t bytes = 0;
    bool is_closed = false;  // by this budget; its bytes no longer count
  };

  bool Add(const Share* share, int64_t change) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const Share* share) ABSL_LOCKS_EXCLUDED(mutex_);

  // Changes the sums.
  void Count(Connection& connection, int64_t change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The peer that has too much, now that `peer` has more; null if none has.
  const Peer* Exceeding(const Peer& peer) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Connection& LargestOf(const Peer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<const Share*, Connection> connections_
      ABSL_GUARDED_BY(mutex_);
  // The bytes of each peer that has any, and their sum.
  absl::flat_hash_map<Peer, int64_t> by_peer_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_MESSAGE_BUDGET_H_
