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
#include "core/base/status_macros.h"
#include "service/auth/auth_collector.h"
#include "service/grpc_settings.h"
#include "service/listener/descriptor_limit.h"
#include "service/listener/tls_credentials.h"
#include "service/log.h"
#include "service/memory_plan.h"
#include "service/metrics/memory_collector.h"
#include "service/port_file.h"
#include "service/telemetry/telemetry_collector.h"

namespace rwkvd {
namespace {

// How often the conditions of serving are checked.
constexpr absl::Duration kReadinessInterval = absl::Minutes(1);

// How long a call that is given up waits for its client to read the message
// under way, before its stream is reset.
constexpr absl::Duration kResetAfter = absl::Seconds(10);

// How long a change of the health waits for the reader of the log.
constexpr absl::Duration kFlushLogTime = absl::Seconds(1);

// The services that generate text.
std::vector<std::string> EngineNames(const Options& options) {
  std::vector<std::string> names = {
      ::rwkv::v1::RwkvService::service_full_name()};
  if (options.vllm)
    names.push_back(::vllm::grpc::engine::VllmEngine::service_full_name());
  return names;
}

// The names whose health the health service reports; "" is the whole server.
std::vector<std::string> HealthNames(const Options& options) {
  std::vector<std::string> names = EngineNames(options);
  names.insert(names.begin(), "");
  return names;
}

// The services whose names the reflection service lists.
std::vector<std::string> ServiceNames(const Options& options) {
  std::vector<std::string> names = EngineNames(options);
  names.push_back(grpc::health::v1::Health::service_full_name());
  if (options.channelz) names.push_back(ChannelzService::kName);
  return names;
}

// Null if `endpoint` is empty.
std::unique_ptr<SpanExporter> NewSpanExporter(const std::string& endpoint) {
  if (endpoint.empty()) return nullptr;
  return std::make_unique<SpanExporter>(endpoint, SpanExporter::Options());
}

// Logs that tokens can be read on their way to the server, if they can be.
void WarnOfReadableTokens(const Options& options, const Listener& listener) {
  if (options.auth_tokens.empty() || options.has_tls() || listener.is_local()) {
    return;
  }
  LogWarning(
      "--auth_tokens without TLS: whoever can read the network between a "
      "client and this server can use the client's token. Give --tls_cert and "
      "--tls_key");
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
      spans_(NewSpanExporter(options.otlp_endpoint)),
      pool_(WorkPool::OptionsFor(UsableCpus()), &metrics_),
      service_(&metrics_, &budgets_, &pool_, &monitor_, options.access_log,
               spans_.get(), &authorizer_),
      health_(HealthNames(options)),
      vllm_(&service_, &health_),
      channelz_(&authorizer_, &monitor_),
      reflection_(ServiceNames(options), &authorizer_),
      unknown_methods_(&authorizer_) {}

Server::~Server() {
  if (loading_thread_.joinable()) loading_thread_.join();
  if (model_ != nullptr && model_->watch != nullptr) model_->watch->Stop();
  readiness_.reset();
  if (listener_ != nullptr) listener_->Stop();
  if (grpc_ != nullptr) grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
  listener_collector_->Observe(nullptr);
}

absl::Status Server::Listen() {
  if (options_.has_tls() || !options_.auth_tokens.empty() ||
      !options_.metrics_token_file.empty() ||
      options_.state_store.has_value()) {
    ForbidCoreDumps();  // they would contain keys, tokens and passwords
  }
  RWKVD_RETURN_IF_ERROR(OpenTokenFile());
  RWKVD_RETURN_IF_ERROR(OpenUsageLog());
  if (options_.has_tls()) RWKVD_RETURN_IF_ERROR(OpenTls());
  RWKVD_RETURN_IF_ERROR(OpenListener());
  RWKVD_RETURN_IF_ERROR(StartMetrics());
  RWKVD_RETURN_IF_ERROR(StartHealth());
  RWKVD_RETURN_IF_ERROR(StartGrpc());
  LogInfo(absl::StrCat("listening at ", address(), ", metrics at ",
                       metrics_address().empty() ? "none" : metrics_address(),
                       health_address().empty() ? "" : ", health at ",
                       health_address()));
  if (options_.port_file.empty()) return absl::OkStatus();
  return WritePortFile(options_.port_file, address(), metrics_address(),
                       health_address());
}

absl::Status Server::OpenTls() {
  RWKVD_ASSIGN_OR_RETURN(
      tls_, TlsKeyStore::Open({.cert = options_.tls_cert,
                               .key = options_.tls_key,
                               .client_ca = options_.tls_client_ca}));
  LogInfo(absl::StrCat(
      "TLS: clients ",
      options_.tls_client_ca.empty() ? "need no certificate"
                                     : "need a certificate (--tls_client_ca)",
      "; the server's certificate expires ",
      absl::FormatTime(tls_->keys()->expiry, absl::UTCTimeZone())));
  return absl::OkStatus();
}

void Server::Reload() {
  if (usage_log_ != nullptr) usage_log_->ReopenSoon();
  authorizer_.ReloadSoon();
  ReloadTls();
}

void Server::ReloadTls() {
  if (tls_ != nullptr) tls_->Reload();
  if (metrics_endpoint_ == nullptr) return;
  absl::StatusOr<MetricsAccess> access = ReadMetricsAccess();
  const absl::Status status = access.ok()
                                  ? metrics_endpoint_->Use(*std::move(access))
                                  : access.status();
  if (!status.ok()) LogWarning(absl::StrCat("metrics: ", status.message()));
}

absl::Status Server::OpenTokenFile() {
  if (options_.auth_tokens.empty()) return absl::OkStatus();
  const absl::Status status = authorizer_.Open(options_.auth_tokens);
  if (status.ok()) {
    LogInfo(absl::StrCat(
        "--auth_tokens: ", authorizer_.source()->figures().num_identities,
        " identities"));
    return status;
  }
  return absl::Status(status.code(),
                      absl::StrCat("--auth_tokens: ", status.message()));
}

absl::Status Server::OpenUsageLog() {
  if (options_.usage_log.empty()) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(usage_log_, UsageLog::Open(options_.usage_log));
  service_.SetUsageLog(usage_log_.get());
  return absl::OkStatus();
}

absl::Status Server::OpenListener() {
  RWKVD_ASSIGN_OR_RETURN(
      const ConnectionLimits limits,
      DeriveConnectionLimits(RaiseDescriptorLimit(), options_.grpc_memory_bytes,
                             options_.max_connections,
                             options_.max_connections_per_peer,
                             options_.has_tls()));
  LogInfo(absl::StrCat("derived: --max_connections=", limits.total,
                       " --max_connections_per_peer=", limits.per_peer));
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(
      options_.listen, limits,
      CallGuard::Derive(
          options_.grpc_memory_bytes, options_.max_streams_per_connection,
          int64_t{options_.engine.max_running} + options_.engine.max_queued),
      MessageBudget::Limits::Derive(options_.grpc_memory_bytes),
      options_.unix_socket_mode);
  if (!listener.ok()) {
    return absl::Status(
        listener.status().code(),
        absl::StrCat("--listen: ", listener.status().message()));
  }
  listener_ = *std::move(listener);
  if (!listener_->is_local() && !options_.has_tls() && !options_.insecure) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen: other hosts can reach ", options_.listen,
        ", and there is no TLS. Give --tls_cert and --tls_key, or listen on "
        "127.0.0.1 or at a unix:path, or give --insecure if only clients that "
        "you trust can connect"));
  }
  WarnOfReadableTokens(options_, *listener_);
  listener_collector_->Observe(listener_.get(), tls_.get());
  return absl::OkStatus();
}

absl::Status Server::StartMetrics() {
  if (options_.metrics_listen.empty()) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(MetricsAccess access, ReadMetricsAccess());
  RWKVD_ASSIGN_OR_RETURN(
      metrics_endpoint_,
      MetricsEndpoint::Start(
          options_.metrics_listen,
          {metrics_.collectable(), collector_, listener_collector_,
           std::make_shared<MemoryCollector>(&budgets_),
           std::make_shared<TelemetryCollector>(spans_.get()),
           std::make_shared<AuthCollector>(&authorizer_, usage_log_.get())},
          std::move(access), options_.unix_socket_mode));
  return absl::OkStatus();
}

absl::StatusOr<MetricsAccess> Server::ReadMetricsAccess() const {
  MetricsAccess access;
  if (options_.metrics_tls) access.tls = tls_->keys();
  if (options_.metrics_token_file.empty()) return access;
  RWKVD_ASSIGN_OR_RETURN(
      access.token,
      ReadMetricsToken("--metrics_token_file", options_.metrics_token_file));
  return access;
}

absl::Status Server::StartHealth() {
  if (options_.health_listen.empty()) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(health_endpoint_,
                         HealthEndpoint::Start(options_, &health_));
  return absl::OkStatus();
}

absl::Status Server::StartGrpc() {
  grpc::ServerBuilder builder;
  ConfigureGrpc(options_, builder);
  using Builder = grpc::ServerBuilder::experimental_type;
  std::unique_ptr<Listener::Acceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(
          Builder::ExternalConnectionType::FROM_FD,
          tls_ == nullptr ? grpc::InsecureServerCredentials()
                          : NewTlsCredentials(tls_.get()));
  builder.RegisterService(&service_);
  if (options_.vllm) builder.RegisterService(&vllm_);
  builder.RegisterService(&health_);
  if (options_.channelz) builder.RegisterService(&channelz_);
  if (options_.reflection) reflection_.Register(builder);
  builder.RegisterCallbackGenericService(&unknown_methods_);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr) return absl::InternalError("gRPC does not start");
  return listener_->Start(std::move(acceptor), options_.has_tls());
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
           [model = this->model()] { return model->CheckFiles(); }},
          {"files of TLS and tokens",
           [this] {
             ReloadTls();
             return absl::OkStatus();  // the last good ones are in use
           }}},
      kReadinessInterval, [this](bool ready) {
        // Who learns that the server serves finds in the log how it started.
        FlushLog(kFlushLogTime);
        health_.SetServing(ready);
        LogInfo(ready ? "serving" : "not serving");
      });
}

ServedModel* Server::model() const {
  absl::MutexLock lock(&mutex_);
  return model_.get();
}

bool Server::loading() const {
  absl::MutexLock lock(&mutex_);
  return !loaded_;
}

std::string Server::metrics_address() const {
  return metrics_endpoint_ == nullptr ? "" : metrics_endpoint_->address();
}

std::string Server::health_address() const {
  return health_endpoint_ == nullptr ? "" : health_endpoint_->address();
}

}  // namespace rwkvd
