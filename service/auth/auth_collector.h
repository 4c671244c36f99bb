// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_
#define RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/auth/authorizer.h"
#include "service/auth/usage_log.h"

namespace rwkvd {

// Reads the state of the token file, the refusals, and what identities have
// used whenever Prometheus scrapes the server. Without a token file, there are
// no such metrics.
//
// Owned by the metrics endpoint. Thread-safe. The authorizer and the log
// outlive it.
class AuthCollector final : public prometheus::Collectable {
 public:
  // `usage_log` is null if there is none.
  AuthCollector(Authorizer* authorizer, const UsageLog* usage_log)
      : authorizer_(authorizer), usage_log_(usage_log) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Authorizer* const authorizer_;
  const UsageLog* const usage_log_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_AUTH_COLLECTOR_H_
