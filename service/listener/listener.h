// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_LISTENER_H_
#define RWKVD_SERVICE_LISTENER_LISTENER_H_

#include <grpcpp/server_builder.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/listener/accept_loop.h"
#include "service/listener/call_guard.h"
#include "service/listener/connection_guard.h"
#include "service/listener/connection_table.h"
#include "service/listener/http2_guard.h"
#include "service/listener/listening_sockets.h"
#include "service/listener/message_budget.h"
#include "service/listener/socket_filter.h"
#include "service/log.h"

namespace rwkvd {

// Why the server did not keep a connection.
enum class Refusal {
  kTotalLimit,   // closed: --max_connections
  kPeerLimit,    // closed: --max_connections_per_peer
  kDescriptors,  // closed: the process has no descriptor left
  kSystem,       // waits: too little memory, or no descriptor in the system
};
inline constexpr int kNumRefusals = 4;

// The value of the label "reason" in metrics.
const char* NameOf(Refusal refusal);

// Listens for the gRPC server and passes connections to it. gRPC's own listener
// would stop forever once a descriptor was lacking, and bounds nothing. The
// frames of each connection are inspected before gRPC parses them (Http2Guard).
//
// Owned by the server. Start and Stop are called by one thread at a time; the
// other functions are thread-safe.
class Listener {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  // Listens at `address` (as ListeningSockets::Open); connections wait until
  // Start.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(
      const std::string& address, const ConnectionLimits& limits,
      const CallGuard::Limits& call_limits = {},
      const MessageBudget::Limits& message_limits = {},
      std::optional<mode_t> unix_mode = std::nullopt);
  ~Listener() { Stop(); }

  // The address with the chosen port.
  const std::string& address() const { return address_; }
  // Whether only processes of this host can connect.
  bool is_local() const { return is_local_; }

  // Passes connections to gRPC from now on, whose server is running and was
  // built last in this process. Called once. `tls`: gRPC expects TLS, and the
  // guards inspect what is within.
  absl::Status Start(std::unique_ptr<Acceptor> acceptor, bool tls = false);

  // Stops listening: new connections are refused by the system. Must return
  // before the gRPC server is shut down, which would lose the descriptors of
  // new connections. Open connections are not touched. May be called again.
  void Stop();

  // The number of open connections, for metrics.
  int num_connections() { return connections_.Count(); }
  const ConnectionLimits& limits() const { return connections_.limits(); }
  // Closed connections, or for kSystem the attempts to accept.
  uint64_t num_refused(Refusal refusal) const {
    return refused_[static_cast<size_t>(refusal)].load(
        std::memory_order_relaxed);
  }
  // Connections that were closed because of an abuse of HTTP/2.
  uint64_t num_closed(Http2Abuse abuse) const {
    return shared_.abuses->Count(abuse);
  }
  // The memory of messages that gRPC keeps, as MessageBudget counts it.
  int64_t message_bytes() const { return shared_.messages->bytes(); }

 private:
  Listener(ListeningSockets sockets, const ConnectionLimits& limits,
           const CallGuard::Limits& call_limits,
           const MessageBudget::Limits& message_limits);

  void Handle(OwnedFd connection, const sockaddr_storage& peer);
  // Inspects what gRPC will receive and send on this connection.
  SocketFilter NewGuard(int fd, const std::string& peer);
  // Does periodic checks. Returns whether it is to be called again.
  bool Tick();
  bool Close(const ConnectionCalls& connection);
  void Refuse(Refusal refusal, const std::string& why);

  const std::string address_;
  const bool is_local_;
  std::unique_ptr<ListeningSockets> sockets_;  // null after Stop
  const CallGuard::Limits call_limits_;
  ConnectionTable connections_;
  std::array<std::atomic<uint64_t>, kNumRefusals> refused_ = {};
  // Used by the loop's thread:
  std::array<LimitedLog, kNumRefusals> logs_;
  std::unique_ptr<CallGuard> guard_;
  int64_t num_ticks_ = 0;
  ResetLimits resets_;
  const ConnectionGuard::Shared shared_;
  std::unique_ptr<Acceptor> acceptor_;
  bool tls_ = false;
  AcceptLoop loop_;  // last: its thread uses the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_LISTENER_H_
