// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_SERVER_H_
#define RWKVD_SERVICE_SERVER_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/event.h"
#include "service/auth/authorizer.h"
#include "service/auth/usage_log.h"
#include "service/calls/call_monitor.h"
#include "service/calls/channelz_service.h"
#include "service/calls/rwkv_service.h"
#include "service/calls/unknown_methods.h"
#include "service/health/health_service.h"
#include "service/health/readiness.h"
#include "service/health_endpoint.h"
#include "service/listener/listener.h"
#include "service/listener/listener_collector.h"
#include "service/listener/tls_keys.h"
#include "service/load_progress.h"
#include "service/memory_budgets.h"
#include "service/metrics/engine_collector.h"
#include "service/metrics/metrics.h"
#include "service/metrics/metrics_endpoint.h"
#include "service/options/options.h"
#include "service/reflection/reflection.h"
#include "service/served_model.h"
#include "service/telemetry/span_exporter.h"
#include "service/vllm/vllm_service.h"
#include "service/work_pool.h"

namespace rwkvd {

// The gRPC server. It listens, loads the model, serves and drains, once each
// and in this order. The health service reports SERVING only after loading and
// before draining, while the model's files and the state store are as they must
// be.
//
// Owned by main (or a test). Thread-safe.
class Server {
 public:
  using Loader = std::function<absl::StatusOr<std::unique_ptr<ServedModel>>(
      LoadProgress& progress)>;

  // Listens, and starts to load the model on a separate thread. Unavailable,
  // with the flag, if the server cannot listen at an address; or the error of
  // the file of --auth_tokens.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options,
                                                       Loader loader);
  // Waits for the loader, if it is still running.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves until draining is complete, and returns OK; or until loading or the
  // model fails, and returns the reason. Called once.
  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mutex_);

  // Starts draining and returns; Wait does the rest. The health service reports
  // NOT_SERVING, and requests are still accepted for the lame-duck time. Then
  // the server stops listening and sends GOAWAY, so that clients send new
  // requests to other servers. Accepted requests may continue for the grace
  // period and then end with UNAVAILABLE. A second call ends both periods at
  // once, and waits until all requests have ended.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the server because its results cannot be trusted any more; Wait does
  // the rest and returns `reason`. The health service reports NOT_SERVING.
  // Clients have a moment to notice it; then calls end with UNAVAILABLE.
  void Fail(absl::Status reason) ABSL_LOCKS_EXCLUDED(mutex_);

  // Drains without a lame-duck time and a grace period, as two calls of Drain.
  void DrainAtOnce() ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads the files of TLS and tokens again, if there are any, and opens the
  // usage log anew. A good file is used from the next connection or call on; a
  // bad one leaves the last good one in use. May wait for a disk.
  void Reload();

  // Whether the loader is still running.
  bool loading() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The addresses with the chosen ports: host:port, or unix:path. The metrics
  // address is empty if there are no metrics.
  const std::string& address() const { return listener_->address(); }
  std::string metrics_address() const;
  // Empty without --health_listen.
  std::string health_address() const;

  // The memory of request messages that are held, in bytes.
  int64_t request_bytes() const { return budgets_.requests.used(); }
  // The memory of responses that clients have not read, in bytes.
  int64_t unread_bytes() const { return budgets_.responses->used(); }

 private:
  explicit Server(const Options& options);

  absl::Status Listen();
  absl::Status OpenTokenFile();
  absl::Status OpenUsageLog();
  absl::Status OpenTls();
  // Reads the files of TLS and the token of the metrics again.
  void ReloadTls();
  absl::Status OpenListener();
  absl::Status StartMetrics();
  absl::StatusOr<MetricsAccess> ReadMetricsAccess() const;
  absl::Status StartHealth();
  absl::Status StartGrpc();
  void Load(const Loader& loader) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null until the model has been loaded.
  ServedModel* model() const ABSL_LOCKS_EXCLUDED(mutex_);

  void ShutDown() ABSL_LOCKS_EXCLUDED(mutex_);
  void ShutDownAfterFailure();
  // Ends requests at `grace_end` at the latest, and then gRPC.
  void ShutDownBy(absl::Time grace_end);
  // Makes clients connect elsewhere, and still accepts the requests that they
  // had sent before.
  void SendClientsAway(absl::Time grace_end);
  // Waits until clients have read their last messages and are disconnected, and
  // ends the calls of the others.
  void Flush(absl::Time grace_end);
  // Whether a client still sends or receives a state.
  bool TransfersStates() const;
  // Waits until there are no connections and calls, at most until `end`.
  void WaitForCalls(absl::FunctionRef<absl::Time()> end);

  const Options options_;
  // Calls use the metrics, the budgets, the monitor, the model and the pool
  // until gRPC has shut down, and scrapes use them until the endpoint has; so
  // they are destroyed after both.
  Metrics metrics_;
  MemoryBudgets budgets_;
  CallMonitor monitor_;
  const std::shared_ptr<EngineCollector> collector_;
  const std::shared_ptr<ListenerCollector> listener_collector_;
  const std::unique_ptr<SpanExporter> spans_;  // null: none are exported
  std::unique_ptr<ServedModel> model_;  // set by the loading thread, once
  WorkPool pool_;
  Authorizer authorizer_;
  std::unique_ptr<UsageLog> usage_log_;  // null: there is none
  RwkvService service_;
  HealthService health_;
  VllmService vllm_;
  ChannelzService channelz_;
  Reflection reflection_;
  UnknownMethods unknown_methods_;
  std::unique_ptr<TlsKeyStore> tls_;  // null: no TLS
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<MetricsEndpoint> metrics_endpoint_;
  std::unique_ptr<HealthEndpoint> health_endpoint_;
  std::unique_ptr<grpc::Server> grpc_;

  mutable absl::Mutex mutex_;
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;  // the loader has returned
  absl::Status load_status_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int drains_ ABSL_GUARDED_BY(mutex_) = 0;  // number of calls of Drain
  Event draining_, cut_short_;  // the first and the second call of Drain

  std::unique_ptr<Readiness> readiness_;  // set by the loading thread
  std::thread loading_thread_;            // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_SERVER_H_
