// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/memory_collector.h"

#include <cstdint>

namespace rwkvd {
namespace {

prometheus::MetricFamily ToGauge(const char* name, const char* help,
                                 int64_t value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  family.metric.emplace_back().gauge.value = static_cast<double>(value);
  return family;
}

}  // namespace

std::vector<prometheus::MetricFamily> MemoryCollector::Collect() const {
  return {ToGauge("rwkv_request_memory_bytes",
                  "Memory of request messages and of requests that have not "
                  "ended.",
                  budgets_->requests.used()),
          ToGauge("rwkv_unread_response_bytes",
                  "Memory of responses that clients have not read.",
                  budgets_->responses->used())};
}

}  // namespace rwkvd
