// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listener_collector.h"

#include <sys/resource.h>

#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"

namespace rwkvd {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = MetricType::Gauge;
  family.metric.emplace_back().gauge.value = value;
  return family;
}

MetricFamily Refusals(const Listener& listener) {
  MetricFamily family;
  family.name = "rwkv_connections_refused_total";
  family.help =
      "Connections that the server closed, by reason; with the reason "
      "\"system\", attempts to accept that failed while connections waited.";
  family.type = MetricType::Counter;
  for (int i = 0; i < kNumRefusals; ++i) {
    const Refusal refusal = static_cast<Refusal>(i);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label.push_back({"reason", NameOf(refusal)});
    metric.counter.value = static_cast<double>(listener.num_refused(refusal));
  }
  return family;
}

MetricFamily Abuses(const Listener& listener) {
  MetricFamily family;
  family.name = "rwkv_connections_closed_total";
  family.help =
      "Connections that were closed because the client abused HTTP/2, by "
      "reason.";
  family.type = MetricType::Counter;
  for (int i = 1; i < kNumHttp2Abuses; ++i) {
    const Http2Abuse abuse = static_cast<Http2Abuse>(i);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label.push_back({"reason", NameOf(abuse)});
    metric.counter.value = static_cast<double>(listener.num_closed(abuse));
  }
  return family;
}

double MaxDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

void ListenerCollector::Observe(Listener* listener) {
  absl::MutexLock lock(&mutex_);
  listener_ = listener;
}

std::vector<MetricFamily> ListenerCollector::Collect() const {
  absl::MutexLock lock(&mutex_);
  if (listener_ == nullptr) return {};
  return {Gauge("rwkv_connections", "Open connections of gRPC clients.",
                listener_->num_connections()),
          Gauge("rwkv_connections_max",
                "The maximum number of connections (--max_connections).",
                listener_->limits().total),
          Gauge("rwkv_unfinished_message_bytes",
                "The memory of request messages that are incomplete, or that "
                "the server has not read.",
                static_cast<double>(listener_->message_bytes())),
          Refusals(*listener_),
          Abuses(*listener_),
          Gauge("process_max_fds", "The limit of open file descriptors.",
                MaxDescriptors())};
}

}  // namespace rwkvd
