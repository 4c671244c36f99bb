// SPDX-License-Identifier: Apache-2.0
#include "service/health_endpoint.h"

#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"
#include "service/grpc_settings.h"

namespace rwkvd {
namespace {

// The limits of connections to health_listen. A client that idles makes room
// for others when its connection is this old.
Options HealthLimits(Options options) {
  options.grpc_memory_bytes = 4 << 20;
  options.max_message_bytes = 8 << 10;  // HealthService refuses more than half
  options.max_streams_per_connection = 8;
  options.max_connection_age = absl::Minutes(1);
  options.max_connection_age_grace = absl::Seconds(10);
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HealthEndpoint>> HealthEndpoint::Start(
    const Options& options, HealthService* health) {
  const Options limits = HealthLimits(options);
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(
      options.health_listen,
      {.total = kMaxConnections, .per_peer = kMaxConnectionsPerPeer},
      {.per_connection = 2 * limits.max_streams_per_connection,
       .total = kMaxConnections * limits.max_streams_per_connection},
      MessageBudget::Limits::Derive(limits.grpc_memory_bytes),
      options.unix_socket_mode);
  if (!listener.ok()) {
    return absl::Status(
        listener.status().code(),
        absl::StrCat("--health_listen: ", listener.status().message()));
  }
  std::unique_ptr<HealthEndpoint> endpoint(
      new HealthEndpoint(*std::move(listener)));
  grpc::ServerBuilder builder;
  ConfigureGrpc(limits, builder);
  using Builder = grpc::ServerBuilder::experimental_type;
  std::unique_ptr<Listener::Acceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(
          Builder::ExternalConnectionType::FROM_FD,
          grpc::InsecureServerCredentials());
  builder.RegisterService(health);
  endpoint->grpc_ = builder.BuildAndStart();
  if (endpoint->grpc_ == nullptr) {
    return absl::InternalError("--health_listen: gRPC does not start");
  }
  RWKVD_RETURN_IF_ERROR(endpoint->listener_->Start(std::move(acceptor)));
  return endpoint;
}

HealthEndpoint::~HealthEndpoint() {
  listener_->Stop();
  if (grpc_ != nullptr) grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
}

}  // namespace rwkvd
