// SPDX-License-Identifier: Apache-2.0
#include "service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "google/protobuf/message.h"
#include "grpc/health/v1/health.pb.h"
#include "service/log.h"
#include "service/port_file.h"

namespace rwkvd {
namespace {

// How long clients may take to read the last messages after the engine has
// drained, before their calls are cancelled.
constexpr absl::Duration kFlushGrace = absl::Seconds(2);

// How long a server that has failed reports NOT_SERVING, and its reason to
// those who call it, before it ends.
constexpr absl::Duration kFailureGrace = absl::Seconds(2);

// A lost connection is detected within 30 seconds. Clients may send keepalive
// pings as often as the server.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kMinClientPingMs = 10'000;

void Configure(const Options& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  // Otherwise two servers could listen at the same port and share its calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             kKeepaliveTimeoutMs);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingMs);
}

std::string BoundAddress(const std::string& asked, int port) {
  if (absl::StartsWith(asked, "unix:")) return asked;
  return absl::StrCat(asked.substr(0, asked.rfind(':')), ":", port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options,
                                                      Loader loader) {
  std::unique_ptr<Server> server(new Server(options));
  RWKVD_RETURN_IF_ERROR(server->Listen());
  server->loading_thread_ =
      std::thread([server = server.get(), loader = std::move(loader)] {
        server->Load(loader);
      });
  return server;
}

Server::Server(const Options& options)
    : options_(options),
      budgets_(options),
      collector_(std::make_shared<EngineCollector>()),
      service_(&metrics_, &budgets_) {}

Server::~Server() {
  if (loading_thread_.joinable()) loading_thread_.join();
  if (model_ != nullptr && model_->watch != nullptr) model_->watch->Stop();
  if (grpc_ != nullptr) grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
}

absl::Status Server::Listen() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC's health service does not link its descriptor, which reflection needs.
  google::protobuf::LinkMessageReflection<
      grpc::health::v1::HealthCheckRequest>();
  if (!options_.metrics_listen.empty()) {
    RWKVD_ASSIGN_OR_RETURN(
        metrics_endpoint_,
        MetricsEndpoint::Start(options_.metrics_listen,
                               {metrics_.collectable(), collector_}));
  }
  grpc::ServerBuilder builder;
  Configure(options_, builder);
  int port = 0;
  builder.AddListeningPort(options_.listen, grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service_);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("--listen: cannot listen at ", options_.listen,
                     " (in use, or not an address of this host?)"));
  }
  SetHealth(false);
  address_ = BoundAddress(options_.listen, port);
  LogInfo(absl::StrCat("listening at ", address_, ", metrics at ",
                       metrics_address().empty() ? "none" : metrics_address()));
  if (options_.port_file.empty()) return absl::OkStatus();
  return WritePortFile(options_.port_file, address_, metrics_address());
}

void Server::SetHealth(bool serving) {
  grpc::HealthCheckServiceInterface* health = grpc_->GetHealthCheckService();
  health->SetServingStatus("", serving);
  health->SetServingStatus(::rwkv::v1::RwkvService::service_full_name(),
                           serving);
}

void Server::Load(const Loader& loader) {
  absl::StatusOr<std::unique_ptr<ServedModel>> model =
      loader(collector_->load_progress());
  absl::MutexLock lock(&mutex_);
  loaded_ = true;
  load_status_ = model.status();
  if (!model.ok()) return;
  model_ = *std::move(model);
  metrics_.SetModelName(model_->name);
  collector_->Serve(model_.get());
  service_.Serve(model_.get());
  if (model_->watch != nullptr) {
    model_->watch->Start([this](absl::Status reason) { Fail(reason); });
  }
  if (drains_ > 0) return;
  SetHealth(true);
  LogInfo("serving");
}

absl::Status Server::Wait() {
  bool has_failed = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto decided = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return drains_ > 0 || !load_status_.ok() || !failure_.ok();
    };
    mutex_.Await(absl::Condition(&decided));
    if (!load_status_.ok()) return load_status_;
    has_failed = !failure_.ok();
  }
  if (has_failed) {
    ShutDownAfterFailure();
  } else {
    ShutDown();
  }
  absl::MutexLock lock(&mutex_);
  return failure_;
}

void Server::Fail(absl::Status reason) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return;
  failure_ = std::move(reason);
  SetHealth(false);
  LogWarning("ending: health is NOT_SERVING");
}

void Server::ShutDownAfterFailure() {
  Engine* engine = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    const auto cut_short = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return drains_ > 0;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&cut_short), kFailureGrace);
    engine = model_->engine.get();
  }
  engine->Drain(absl::InfinitePast());
  grpc_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushGrace));
  LogInfo("stopped");
}

void Server::Drain() {
  Engine* engine = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (++drains_ == 1) {
      SetHealth(false);
      LogInfo("draining: health is NOT_SERVING");
      return;
    }
    if (model_ != nullptr) engine = model_->engine.get();
  }
  LogInfo("draining: ending all requests now");
  if (engine != nullptr) engine->Drain(absl::InfinitePast());
}

void Server::ShutDown() {
  Engine* engine = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    // A server that has not reported SERVING has no clients to wait for.
    const auto cut_short = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return drains_ > 1 || model_ == nullptr;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&cut_short), options_.lame_duck);
    if (model_ != nullptr) engine = model_->engine.get();
  }
  const absl::Time grace_end = absl::Now() + options_.drain_grace;
  if (engine != nullptr) {
    LogInfo(absl::StrCat("draining: accepted requests may continue for ",
                         absl::FormatDuration(options_.drain_grace)));
    engine->Drain(grace_end);
  }
  // A client needs its complete state, and states may be large.
  absl::Time flush_end = absl::Now() + kFlushGrace;
  if (engine != nullptr && model_->states->num_deliveries() > 0) {
    flush_end = std::max(flush_end, grace_end);
  }
  grpc_->Shutdown(absl::ToChronoTime(flush_end));
  LogInfo("stopped");
}

bool Server::loading() const {
  absl::MutexLock lock(&mutex_);
  return !loaded_;
}

std::string Server::metrics_address() const {
  return metrics_endpoint_ == nullptr ? "" : metrics_endpoint_->address();
}

}  // namespace rwkvd
