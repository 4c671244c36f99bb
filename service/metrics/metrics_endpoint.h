// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
#define RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/collectable.h"
#include "service/listener/accept_loop.h"
#include "service/listener/listening_sockets.h"
#include "service/listener/tls_keys.h"
#include "service/metrics/scrape_connections.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace rwkvd {

// Who may read the metrics, and how. A value.
struct MetricsAccess {
  std::shared_ptr<const TlsKeys> tls;  // null: without TLS
  std::string token;                   // empty: everybody may
};

// The HTTP endpoint GET /metrics, at an address of its own, for Prometheus.
//
// A connection carries one request. Clients that send nothing, send slowly, or
// do not read their answer delay no other client: they are closed after some
// seconds, or earlier if there are too many of them (ScrapeConnections). The
// size of a request and the number of connections are bounded, and so is the
// memory of answers that nobody reads.
//
// Owned by the server. Thread-safe. It has two threads: one accepts
// connections, and one does everything else.
class MetricsEndpoint {
 public:
  // Listens at `address`: host:port, where port 0 chooses a free one, or
  // unix:path with the permissions `unix_mode`. Unavailable, with the flag and
  // the reason of the system, if that fails. Each scrape collects from
  // `sources`.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      const std::string& address,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources,
      MetricsAccess access = {},
      std::optional<mode_t> unix_mode = std::nullopt);
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  // Uses `access` for new connections. If it differs from the one in use,
  // scrapes that are under way are cut off.
  absl::Status Use(MetricsAccess access) ABSL_LOCKS_EXCLUDED(mutex_);

  // host:port, with the port that was chosen, or unix:path.
  const std::string& address() const { return sockets_.address(); }

 private:
  struct Callbacks;  // what libmicrohttpd calls

  MetricsEndpoint(
      ListeningSockets sockets,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources);

  absl::Status StartAcceptLoop();
  absl::Status StartDaemon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Passes a new connection to libmicrohttpd. Accept loop's thread.
  void Serve(OwnedFd connection, const sockaddr_storage& peer)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the request has the token, if one is needed. HTTP thread.
  bool IsAllowed(MHD_Connection* connection) const;
  // Queues the answer to a request; returns false if there is no memory for it.
  // HTTP thread.
  bool Answer(MHD_Connection* connection, absl::string_view path,
              absl::string_view method);
  // The text that Prometheus reads.
  std::string Page() const;

  const ListeningSockets sockets_;
  const std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  // Used by the HTTP thread, and while there is none:
  ScrapeConnections connections_;
  MetricsAccess access_;
  absl::Mutex mutex_;  // never taken by the HTTP thread
  MHD_Daemon* daemon_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null if it failed
  AcceptLoop accept_loop_;  // its thread uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
