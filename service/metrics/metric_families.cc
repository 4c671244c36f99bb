// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metric_families.h"

#include "prometheus/client_metric.h"

namespace rwkvd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric& AddMetric(MetricFamily& family, const char* label,
                        absl::string_view label_value) {
  ClientMetric& metric = family.metric.emplace_back();
  metric.label.push_back({label, std::string(label_value)});
  return metric;
}

}  // namespace

MetricFamily EmptyFamily(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

MetricFamily ToGauge(const char* name, const char* help, double value) {
  MetricFamily family = EmptyFamily(name, help, MetricType::Gauge);
  family.metric.emplace_back().gauge.value = value;
  return family;
}

MetricFamily ToCounter(const char* name, const char* help, uint64_t value) {
  MetricFamily family = EmptyFamily(name, help, MetricType::Counter);
  family.metric.emplace_back().counter.value = static_cast<double>(value);
  return family;
}

void AddGauge(MetricFamily& family, const char* label,
              absl::string_view label_value, double value) {
  AddMetric(family, label, label_value).gauge.value = value;
}

void AddCounter(MetricFamily& family, const char* label,
                absl::string_view label_value, uint64_t value) {
  AddMetric(family, label, label_value).counter.value =
      static_cast<double>(value);
}

}  // namespace rwkvd
