// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CALL_GUARD_H_
#define RWKVD_SERVICE_LISTENER_CALL_GUARD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace rwkvd {

// The open calls of one connection. A value.
struct ConnectionCalls {
  std::string endpoint;  // the peer, as EndpointKey
  int64_t num_calls = 0;
};

// The number of calls that may begin until the open calls are counted again.
// The connection that begins one more is closed.
//
// Shared by the listener and its connections. Thread-safe.
class CallBudget {
 public:
  void Set(int64_t calls) { left_.store(calls, std::memory_order_relaxed); }
  // Takes `calls`; false if they are more than were left.
  bool Take(int64_t calls) {
    return left_.fetch_sub(calls, std::memory_order_relaxed) >= calls;
  }

 private:
  std::atomic<int64_t> left_{std::numeric_limits<int64_t>::max()};
};

// Closes connections that have too many open calls.
//
// gRPC enforces its limit of concurrent streams only after the client has
// acknowledged it, which an attacker does not; and the limits of connections
// and of streams together allow more calls than there is memory for. Calls
// whose message has not arrived are known to gRPC alone.
//
// Thread-compatible.
class CallGuard {
 public:
  struct Limits {
    // More than a client has before it knows the limit of streams.
    int64_t per_connection = std::numeric_limits<int64_t>::max();
    int64_t total = std::numeric_limits<int64_t>::max();
  };

  struct Functions {
    // The number of calls that have begun and not ended; cheap. gRPC does not
    // notice the end of some calls, such as those that are reset before they
    // are served, so the number may be too large by all of these.
    std::function<int64_t()> count;
    // The open calls of each connection; exact.
    std::function<std::vector<ConnectionCalls>()> count_by_connection;
    // Closes the connection of this peer; false if it cannot be found.
    std::function<bool(const ConnectionCalls& connection)> close;
    // Allows new calls until the next check; called by each.
    std::function<void(int64_t calls)> allow;
  };

  CallGuard(const Limits& limits, Functions functions);

  // The limits for a server whose clients may have
  // `max_streams_per_connection` calls on a connection and `max_requests`
  // requests in the engine and its queue, and whose gRPC may use
  // `grpc_memory_bytes`.
  static Limits Derive(int64_t grpc_memory_bytes,
                       int64_t max_streams_per_connection,
                       int64_t max_requests);

  // Closes the connections above the limit of a connection and, if the total is
  // near its limit, those with the most calls, so that a quarter of the limit
  // is left to others. `now` is of a clock that never goes back.
  void Check(absl::Duration now);

 private:
  // The open calls, without those whose end gRPC is known to have missed.
  int64_t CountCalls();
  // Whether to inspect the connections when there are `total` calls.
  bool MustInspect(int64_t total, absl::Duration now);
  void Inspect();
  // Counts the calls whose end gRPC has missed. Returns the open calls.
  int64_t Recount(const std::vector<ConnectionCalls>& connections);

  const Limits limits_;
  const int64_t high_total_;  // above which connections are closed
  const Functions functions_;
  // When the connections were last inspected, and their calls then.
  absl::Duration inspected_at_ = -absl::InfiniteDuration();
  int64_t inspected_calls_ = 0;
  int64_t missed_ends_ = 0;  // at the last inspection
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CALL_GUARD_H_
