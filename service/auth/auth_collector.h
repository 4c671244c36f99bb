// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_
#define RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/auth/authorizer.h"

namespace rwkvd {

// Reads the state of the token file and the refusals whenever Prometheus
// scrapes the server. Without a token file, there are no such metrics.
//
// Owned by the metrics endpoint. Thread-safe. The authorizer outlives it.
class AuthCollector final : public prometheus::Collectable {
 public:
  explicit AuthCollector(const Authorizer* authorizer)
      : authorizer_(authorizer) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Authorizer* const authorizer_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_
