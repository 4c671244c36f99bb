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
#include "service/telemetry/server_load.h"

namespace rwkvd {

// Converts EngineStats to Prometheus metrics, whose names begin with rwkv_.
std::vector<prometheus::MetricFamily> ToMetricFamilies(
    const EngineStats& stats);

// Converts the load of the server likewise.
std::vector<prometheus::MetricFamily> ToMetricFamilies(const ServerLoad& load);

// Reads the engine's statistics whenever Prometheus scrapes the server, so that
// the engine does not depend on metrics.
//
// Owned by the server and the metrics endpoint. Thread-safe.
class EngineCollector : public prometheus::Collectable {
 public:
  // Sets the model, which outlives the last Collect. Called once.
  void Serve(const ServedModel* model) {
    model_.store(model, std::memory_order_release);
  }

  // Exported until the model is set.
  LoadProgress& load_progress() { return load_progress_; }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  LoadProgress load_progress_;
  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_ENGINE_COLLECTOR_H_
