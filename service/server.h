// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_SERVER_H_
#define RWKVD_SERVICE_SERVER_H_

#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/calls/rwkv_service.h"
#include "service/load_progress.h"
#include "service/metrics/engine_collector.h"
#include "service/metrics/metrics.h"
#include "service/metrics/metrics_endpoint.h"
#include "service/options.h"
#include "service/served_model.h"

namespace rwkvd {

// The gRPC server from its first port to its last call: it listens, loads,
// serves, drains, each once and in this order. Health says SERVING between
// the end of loading and the beginning of draining only.
//
// Owned by main (or a test). Thread-safe.
class Server {
 public:
  using Loader = std::function<absl::StatusOr<std::unique_ptr<ServedModel>>(
      LoadProgress& progress)>;

  // Listens, and begins to load on a thread of its own. Unavailable if an
  // address cannot be listened at; the message names the flag.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options,
                                                       Loader loader);
  // Waits for the loader, if it still works.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves until Drain was called and all is done: OK; or until loading has
  // failed: its status. Called once.
  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mutex_);

  // Begins to drain: health NOT_SERVING; the lame-duck time; running requests
  // get the grace period, the rest end with UNAVAILABLE. Called again, it
  // cuts the lame-duck time and the grace period short. Does not wait for the
  // first; Wait does.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the loader has not returned yet.
  bool loading() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Where it really listens: host:port or unix:path; for metrics empty if
  // there are none.
  const std::string& address() const { return address_; }
  std::string metrics_address() const;

 private:
  explicit Server(const Options& options);

  absl::Status Listen();
  void SetHealth(bool serving);
  void Load(const Loader& loader) ABSL_LOCKS_EXCLUDED(mutex_);
  void ShutDown() ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  // Calls use the metrics and the model until gRPC has ended, scrapes until
  // the endpoint has: so these two come before both, and go after them.
  Metrics metrics_;
  const std::shared_ptr<EngineCollector> collector_;
  std::unique_ptr<ServedModel> model_;  // set by the loading thread, once
  RwkvService service_;
  std::unique_ptr<MetricsEndpoint> metrics_endpoint_;
  std::unique_ptr<grpc::Server> grpc_;
  std::string address_;

  mutable absl::Mutex mutex_;
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;  // the loader has returned
  absl::Status load_status_ ABSL_GUARDED_BY(mutex_);
  int drains_ ABSL_GUARDED_BY(mutex_) = 0;  // calls of Drain

  std::thread loading_thread_;  // uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_SERVER_H_
