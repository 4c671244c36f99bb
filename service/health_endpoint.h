// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_HEALTH_ENDPOINT_H_
#define RWKVD_SERVICE_HEALTH_ENDPOINT_H_

#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/health/health_service.h"
#include "service/listener/listener.h"
#include "service/options/options.h"

namespace rwkvd {

// A gRPC server without TLS that serves the health protocol and nothing else,
// for the probes of Kubernetes, which know neither TLS nor credentials. Its
// connections, calls and messages are bounded like those of the other server,
// by small limits of its own.
//
// Owned by the server. Thread-safe.
class HealthEndpoint {
 public:
  // At most so many connections, and so many from one peer (see PeerKey).
  static constexpr int kMaxConnections = 64;
  static constexpr int kMaxConnectionsPerPeer = kMaxConnections / 4;

  // Listens at options.health_listen. `health` outlives the endpoint, and may
  // be served elsewhere, too. Called before the main gRPC server is built.
  // Unavailable, with the flag, if it is impossible to listen there.
  static absl::StatusOr<std::unique_ptr<HealthEndpoint>> Start(
      const Options& options, HealthService* health);
  ~HealthEndpoint();
  HealthEndpoint(const HealthEndpoint&) = delete;
  HealthEndpoint& operator=(const HealthEndpoint&) = delete;

  // The address with the chosen port: host:port, or unix:path.
  const std::string& address() const { return listener_->address(); }

 private:
  explicit HealthEndpoint(std::unique_ptr<Listener> listener)
      : listener_(std::move(listener)) {}

  const std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::Server> grpc_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_HEALTH_ENDPOINT_H_
