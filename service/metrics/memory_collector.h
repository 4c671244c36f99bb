// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_MEMORY_COLLECTOR_H_
#define RWKVD_SERVICE_METRICS_MEMORY_COLLECTOR_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/memory_budgets.h"

namespace rwkvd {

// Reads what the calls hold of their memory budgets whenever Prometheus scrapes
// the server.
//
// Owned by the metrics endpoint. Thread-safe. The budgets outlive it.
class MemoryCollector final : public prometheus::Collectable {
 public:
  explicit MemoryCollector(const MemoryBudgets* budgets) : budgets_(budgets) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const MemoryBudgets* const budgets_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_MEMORY_COLLECTOR_H_
