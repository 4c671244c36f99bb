// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/telemetry_collector.h"

#include <cstdint>

#include "prometheus/metric_type.h"
#include "service/log.h"
#include "service/metrics/metric_families.h"

namespace rwkvd {

using prometheus::MetricFamily;

std::vector<MetricFamily> TelemetryCollector::Collect() const {
  std::vector<MetricFamily> families = {
      ToCounter("rwkv_log_lines_dropped_total",
                "Lines of the log that were dropped, because the standard "
                "output was read too slowly.",
                static_cast<uint64_t>(NumDroppedLogLines()))};
  const SpanExporter::Figures figures =
      spans_ == nullptr ? SpanExporter::Figures() : spans_->figures();
  families.push_back(ToCounter("rwkv_spans_exported_total",
                               "Spans that the collector has received.",
                               static_cast<uint64_t>(figures.exported)));
  MetricFamily dropped =
      EmptyFamily("rwkv_spans_dropped_total",
                  "Spans that were lost, by reason: queue_full (the collector "
                  "did not keep up), failed (it could not be reached), "
                  "rejected (it did not accept them).",
                  prometheus::MetricType::Counter);
  const auto add = [&dropped](const char* reason, int64_t num_spans) {
    AddCounter(dropped, "reason", reason, static_cast<uint64_t>(num_spans));
  };
  add("queue_full", figures.queue_full);
  add("failed", figures.failed);
  add("rejected", figures.rejected);
  families.push_back(std::move(dropped));
  return families;
}

}  // namespace rwkvd
