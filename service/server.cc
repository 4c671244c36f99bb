// SPDX-License-Identifier: Apache-2.0
#include "service/server.h"

#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/cpu_quota.h"
#include "core/base/exceptions.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "service/goaway.h"
#include "service/grpc_settings.h"
#include "service/listener/descriptor_limit.h"
#include "service/log.h"
#include "service/memory_plan.h"
#include "service/metrics/memory_collector.h"
#include "service/port_file.h"

namespace rwkvd {
namespace {

// How long requests are still accepted after GOAWAY has been sent: clients send
// requests until they receive it.
constexpr absl::Duration kGoawayDelay = absl::Seconds(1);

// How long clients may take to read the last messages after the engine has
// drained, before their calls are cancelled.
constexpr absl::Duration kFlushGrace = absl::Seconds(2);

// How long a server that has failed reports NOT_SERVING, and its reason to
// those who call it, before it ends.
constexpr absl::Duration kFailureGrace = absl::Seconds(2);

// How long clients may take to receive the status of a call that is ended for
// them.
constexpr absl::Duration kEndGrace = absl::Milliseconds(200);

// How often the end of the last connection is checked, for which gRPC has no
// event.
constexpr absl::Duration kPollInterval = absl::Milliseconds(10);

// How often the conditions of serving are checked.
constexpr absl::Duration kReadinessInterval = absl::Minutes(1);

// How long a call that is given up waits for its client to read the message
// under way, before its stream is reset.
constexpr absl::Duration kResetAfter = absl::Seconds(10);

// The services whose names the reflection service lists.
std::vector<std::string> ServiceNames() {
  return {::rwkv::v1::RwkvService::service_full_name(),
          grpc::health::v1::Health::service_full_name()};
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
    : options_(LimitMessages(options)),
      budgets_(options_),
      monitor_({.unread_timeout = options.unread_timeout,
                .idle_timeout = options.stream_idle_timeout,
                .reset_after = std::min(kResetAfter, options.unread_timeout)},
               budgets_.responses, &metrics_),
      collector_(std::make_shared<EngineCollector>()),
      listener_collector_(std::make_shared<ListenerCollector>()),
      pool_(WorkPool::OptionsFor(UsableCpus()), &metrics_),
      service_(&metrics_, &budgets_, &pool_, &monitor_),
      health_({"", ::rwkv::v1::RwkvService::service_full_name()}),
      reflection_(ServiceNames()) {}

Server::~Server() {
  if (loading_thread_.joinable()) loading_thread_.join();
  if (model_ != nullptr && model_->watch != nullptr) model_->watch->Stop();
  readiness_.reset();
  if (listener_ != nullptr) listener_->Stop();
  if (grpc_ != nullptr) grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
  listener_collector_->Observe(nullptr);
}

absl::Status Server::Listen() {
  RWKVD_RETURN_IF_ERROR(OpenListener());
  RWKVD_RETURN_IF_ERROR(StartMetrics());
  RWKVD_RETURN_IF_ERROR(StartGrpc());
  LogInfo(absl::StrCat("listening at ", address(), ", metrics at ",
                       metrics_address().empty() ? "none" : metrics_address()));
  if (options_.port_file.empty()) return absl::OkStatus();
  return WritePortFile(options_.port_file, address(), metrics_address());
}

absl::Status Server::OpenListener() {
  RWKVD_ASSIGN_OR_RETURN(
      const ConnectionLimits limits,
      DeriveConnectionLimits(RaiseDescriptorLimit(), options_.grpc_memory_bytes,
                             options_.max_connections,
                             options_.max_connections_per_peer));
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(
      options_.listen, limits,
      CallGuard::Derive(
          options_.grpc_memory_bytes, options_.max_streams_per_connection,
          int64_t{options_.engine.max_running} + options_.engine.max_queued),
      MessageBudget::Limits::Derive(options_.grpc_memory_bytes));
  if (!listener.ok()) {
    return absl::Status(
        listener.status().code(),
        absl::StrCat("--listen: ", listener.status().message()));
  }
  listener_ = *std::move(listener);
  listener_collector_->Observe(listener_.get());
  return absl::OkStatus();
}

absl::Status Server::StartMetrics() {
  if (options_.metrics_listen.empty()) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(
      metrics_endpoint_,
      MetricsEndpoint::Start(
          options_.metrics_listen,
          {metrics_.collectable(), collector_, listener_collector_,
           std::make_shared<MemoryCollector>(&budgets_)}));
  return absl::OkStatus();
}

absl::Status Server::StartGrpc() {
  grpc::ServerBuilder builder;
  ConfigureGrpc(options_, builder);
  using Builder = grpc::ServerBuilder::experimental_type;
  std::unique_ptr<Listener::Acceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(
          Builder::ExternalConnectionType::FROM_FD,
          grpc::InsecureServerCredentials());
  builder.RegisterService(&service_);
  builder.RegisterService(&health_);
  if (options_.reflection) reflection_.Register(builder);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr) return absl::InternalError("gRPC does not start");
  return listener_->Start(std::move(acceptor));
}

void Server::Load(const Loader& loader) {
  absl::StatusOr<std::unique_ptr<ServedModel>> model =
      CatchExceptions([&] { return loader(collector_->load_progress()); });
  {
    absl::MutexLock lock(&mutex_);
    loaded_ = true;
    load_status_ = model.status();
    if (!model.ok()) return;
    model_ = *std::move(model);
    if (!model_->memory_plan.parts.empty()) {
      budgets_.requests.SetLimit(model_->options.request_memory_bytes);
      budgets_.responses->SetLimit(model_->options.response_memory_bytes);
    }
    metrics_.SetModelName(model_->name);
    collector_->Serve(model_.get());
    service_.Serve(model_.get());
    if (model_->watch != nullptr) {
      model_->watch->Start([this](absl::Status reason) { Fail(reason); });
    }
    if (drains_ > 0) return;
  }
  readiness_ = std::make_unique<Readiness>(
      std::vector<ReadinessCondition>{
          {"files of the model and saved states",
           [model = this->model()] { return model->CheckFiles(); }}},
      kReadinessInterval, [this](bool ready) {
        health_.SetServing(ready);
        LogInfo(ready ? "serving" : "not serving");
      });
}

ServedModel* Server::model() const {
  absl::MutexLock lock(&mutex_);
  return model_.get();
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
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) return;
    failure_ = std::move(reason);
  }
  health_.StopServing();
  LogWarning("ending: health is NOT_SERVING");
}

void Server::ShutDownAfterFailure() {
  draining_.WaitFor(kFailureGrace);
  ShutDownBy(MonotonicNow());
}

void Server::Drain() {
  bool is_first;
  {
    absl::MutexLock lock(&mutex_);
    is_first = ++drains_ == 1;
  }
  draining_.Notify();
  if (is_first) {
    health_.StopServing();
    LogInfo("draining: health is NOT_SERVING");
    return;
  }
  cut_short_.Notify();
  LogInfo("draining: ending all requests now");
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->Drain(absl::InfinitePast());
}

void Server::DrainAtOnce() {
  Drain();
  Drain();
}

void Server::ShutDown() {
  // A server that has not reported SERVING has no clients to wait for.
  if (model() != nullptr) cut_short_.WaitFor(options_.lame_duck);
  LogInfo(absl::StrCat(
      "draining: clients are sent to other servers; accepted requests may "
      "continue for ",
      absl::FormatDuration(options_.drain_grace),
      "; another signal ends them at once"));
  ShutDownBy(MonotonicNow() + options_.drain_grace);
}

void Server::ShutDownBy(absl::Time grace_end) {
  SendClientsAway(grace_end);
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->Drain(grace_end);
  Flush(grace_end);
  grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
  LogInfo("stopped");
}

void Server::SendClientsAway(absl::Time grace_end) {
  listener_->Stop();
  SendGoaway(*grpc_);
  health_.EndWatches();
  reflection_.Stop();
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->SuspendRequests();
  const absl::Time end = std::min(grace_end, MonotonicNow() + kGoawayDelay);
  while (HasConnections(*grpc_) && MonotonicNow() < end &&
         !cut_short_.WaitFor(kPollInterval)) {
    // Also on connections that were being established.
    SendGoaway(*grpc_);
  }
}

void Server::Flush(absl::Time grace_end) {
  const absl::Time flush_end = MonotonicNow() + kFlushGrace;
  WaitUntilDisconnected([&] {
    // A client needs its complete state, and states may be large.
    return TransfersStates() && !cut_short_.HasHappened()
               ? std::max(flush_end, grace_end)
               : flush_end;
  });
  // What is left waits for its client: ends it with a reason, and then without
  // waiting for the client any more.
  for (int stage = 0; stage < 2; ++stage) {
    monitor_.GiveUpAll();
    const absl::Time end = MonotonicNow() + kEndGrace;
    WaitUntilDisconnected([&] { return end; });
  }
}

bool Server::TransfersStates() const {
  ServedModel* const model = this->model();
  return model != nullptr &&
         (model->states->num_deliveries() > 0 || service_.num_transfers() > 0);
}

void Server::WaitUntilDisconnected(absl::FunctionRef<absl::Time()> end) {
  while (HasConnections(*grpc_) && MonotonicNow() < end()) {
    absl::SleepFor(kPollInterval);
  }
}

bool Server::loading() const {
  absl::MutexLock lock(&mutex_);
  return !loaded_;
}

std::string Server::metrics_address() const {
  return metrics_endpoint_ == nullptr ? "" : metrics_endpoint_->address();
}

}  // namespace rwkvd
