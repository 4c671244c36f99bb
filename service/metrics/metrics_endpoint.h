// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
#define RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"
#include "prometheus/exposer.h"

namespace rwkvd {

// The HTTP endpoint GET /metrics, on a port of its own, for Prometheus.
//
// Owned by the server. Thread-safe.
class MetricsEndpoint {
 public:
  // Listens at `address`: host:port, where port 0 chooses a free one.
  // Unavailable if that fails. Each scrape collects from `sources`.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      const std::string& address,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources);

  // host:port, with the port that was chosen.
  const std::string& address() const { return address_; }

 private:
  MetricsEndpoint(std::vector<std::shared_ptr<prometheus::Collectable>> sources,
                  std::unique_ptr<prometheus::Exposer> exposer,
                  std::string address)
      : sources_(std::move(sources)),
        exposer_(std::move(exposer)),
        address_(std::move(address)) {}

  const std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  const std::unique_ptr<prometheus::Exposer> exposer_;  // uses sources_
  const std::string address_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
