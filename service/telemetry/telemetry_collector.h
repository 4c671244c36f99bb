// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_TELEMETRY_COLLECTOR_H_
#define RWKVD_SERVICE_TELEMETRY_TELEMETRY_COLLECTOR_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/telemetry/span_exporter.h"

namespace rwkvd {

// Reads what the log has lost, and how many spans were exported, whenever
// Prometheus scrapes the server.
//
// Owned by the metrics endpoint. Thread-safe. The exporter outlives it.
class TelemetryCollector final : public prometheus::Collectable {
 public:
  // `spans` is null if none are exported.
  explicit TelemetryCollector(const SpanExporter* spans) : spans_(spans) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const SpanExporter* const spans_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_TELEMETRY_COLLECTOR_H_
