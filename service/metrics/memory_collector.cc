// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/memory_collector.h"

#include "service/metrics/metric_families.h"

namespace rwkvd {

std::vector<prometheus::MetricFamily> MemoryCollector::Collect() const {
  return {ToGauge("rwkv_request_memory_bytes",
                  "Memory of request messages whose requests the engine has "
                  "not accepted yet.",
                  static_cast<double>(budgets_->requests.used())),
          ToGauge("rwkv_unread_response_bytes",
                  "Memory of responses that clients have not read.",
                  static_cast<double>(budgets_->responses->used()))};
}

}  // namespace rwkvd
