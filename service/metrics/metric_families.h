// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_METRIC_FAMILIES_H_
#define RWKVD_SERVICE_METRICS_METRIC_FAMILIES_H_

// Makes metrics from numbers that something else counts, for collectors.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "prometheus/metric_family.h"
#include "prometheus/metric_type.h"

namespace rwkvd {

// A metric without values.
prometheus::MetricFamily EmptyFamily(const char* name, const char* help,
                                     prometheus::MetricType type);

// A metric with one value and no labels.
prometheus::MetricFamily ToGauge(const char* name, const char* help,
                                 double value);
prometheus::MetricFamily ToCounter(const char* name, const char* help,
                                   uint64_t value);

// Adds the value of one label to a gauge or a counter.
void AddGauge(prometheus::MetricFamily& family, const char* label,
              absl::string_view label_value, double value);
void AddCounter(prometheus::MetricFamily& family, const char* label,
                absl::string_view label_value, uint64_t value);

// A counter with the label "reason". `Reason` is an enumeration with the values
// [first, end), whose labels NameOf returns.
template <typename Reason>
prometheus::MetricFamily CountersByReason(
    const char* name, const char* help, int first, int end,
    absl::FunctionRef<uint64_t(Reason)> count) {
  prometheus::MetricFamily family =
      EmptyFamily(name, help, prometheus::MetricType::Counter);
  for (int i = first; i < end; ++i) {
    const auto reason = static_cast<Reason>(i);
    AddCounter(family, "reason", NameOf(reason), count(reason));
  }
  return family;
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRIC_FAMILIES_H_
