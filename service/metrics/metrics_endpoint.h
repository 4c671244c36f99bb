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

// Answers Prometheus: GET /metrics on a port of its own.
//
// Owned by the server. Thread-safe.
class MetricsEndpoint {
 public:
  // Listens at `address` (host:port, port 0 for any). Unavailable if it cannot.
  // `sources` are asked at each scrape and are kept alive.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      const std::string& address,
      std::vector<std::shared_ptr<prometheus::Collectable>> sources);

  // host:port, with the port that was really bound.
  const std::string& address() const { return address_; }

 private:
  MetricsEndpoint(std::vector<std::shared_ptr<prometheus::Collectable>> sources,
                  std::unique_ptr<prometheus::Exposer> exposer,
                  std::string address)
      : sources_(std::move(sources)),
        exposer_(std::move(exposer)),
        address_(std::move(address)) {}

  const std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  const std::unique_ptr<prometheus::Exposer> exposer_;  // asks the sources
  const std::string address_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_ENDPOINT_H_
