// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
#define RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "prometheus/collectable.h"
#include "service/listener/accept_loop.h"
#include "service/listener/listening_sockets.h"
#include "service/metrics/scrape_connections.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace rwkvd {

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
  // unix:path. Unavailable, with the flag and the reason of the system, if that
  // fails. Each scrape collects from `sources`.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      const std::string& address,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources);
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  // host:port, with the port that was chosen, or unix:path.
  const std::string& address() const { return sockets_.address(); }

 private:
  struct Callbacks;  // what libmicrohttpd calls

  MetricsEndpoint(
      ListeningSockets sockets,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources);

  absl::Status StartThreads();
  // Passes a new connection to libmicrohttpd. Accept loop's thread.
  void Serve(OwnedFd connection, const sockaddr_storage& peer);
  // Queues the answer to a request; returns false if there is no memory for it.
  // HTTP thread.
  bool Answer(MHD_Connection* connection, absl::string_view path,
              absl::string_view method);
  // The text that Prometheus reads.
  std::string Page() const;

  const ListeningSockets sockets_;
  const std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  ScrapeConnections connections_;  // HTTP thread only
  MHD_Daemon* daemon_ = nullptr;
  AcceptLoop accept_loop_;  // its thread uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
