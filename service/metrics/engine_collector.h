// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_ENGINE_COLLECTOR_H_
#define RWKVD_SERVICE_METRICS_ENGINE_COLLECTOR_H_

#include <atomic>
#include <vector>

#include "core/engine/engine_stats.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/load_progress.h"
#include "service/served_model.h"

namespace rwkvd {

// What EngineStats says, in Prometheus's form, under the names rwkv_*.
std::vector<prometheus::MetricFamily> ToMetricFamilies(
    const EngineStats& stats);

// Pulls the engine's figures when Prometheus asks, so that the engine never
// calls into metrics.
//
// Owned by the server, shared with the exposer. Thread-safe.
class EngineCollector : public prometheus::Collectable {
 public:
  // From now on there is a model, which outlives the last Collect. Once.
  void Serve(const ServedModel* model) {
    model_.store(model, std::memory_order_release);
  }

  // What is told before.
  LoadProgress& load_progress() { return load_progress_; }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  LoadProgress load_progress_;
  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_ENGINE_COLLECTOR_H_
