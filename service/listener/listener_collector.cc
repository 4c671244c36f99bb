// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listener_collector.h"

#include <sys/resource.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "service/metrics/metric_families.h"

namespace rwkvd {
namespace {

using prometheus::MetricFamily;

MetricFamily Refusals(const Listener& listener) {
  return CountersByReason<Refusal>(
      "rwkv_connections_refused_total",
      "Connections that the server closed, by reason; with the reason "
      "\"system\", attempts to accept that failed while connections waited.",
      0, kNumRefusals,
      [&](Refusal refusal) { return listener.num_refused(refusal); });
}

MetricFamily Abuses(const Listener& listener) {
  return CountersByReason<Http2Abuse>(
      "rwkv_connections_closed_total",
      "Connections that were closed because the client abused HTTP/2, by "
      "reason.",
      1, kNumHttp2Abuses,
      [&](Http2Abuse abuse) { return listener.num_closed(abuse); });
}

// Without a value if there is no TLS.
MetricFamily CertificateLeft(const TlsKeyStore* tls) {
  constexpr char kName[] = "rwkv_tls_certificate_left_seconds";
  constexpr char kHelp[] =
      "The time until the first certificate of the server expires. Less than 0 "
      "after that. Without a value if there is no TLS.";
  if (tls == nullptr) {
    return EmptyFamily(kName, kHelp, prometheus::MetricType::Gauge);
  }
  return ToGauge(kName, kHelp,
                 absl::ToDoubleSeconds(tls->keys()->expiry - absl::Now()));
}

double MaxDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

void ListenerCollector::Observe(Listener* listener, const TlsKeyStore* tls) {
  absl::MutexLock lock(&mutex_);
  listener_ = listener;
  tls_ = tls;
}

std::vector<MetricFamily> ListenerCollector::Collect() const {
  absl::MutexLock lock(&mutex_);
  if (listener_ == nullptr) return {};
  return {ToGauge("rwkv_connections", "Open connections of gRPC clients.",
                  listener_->num_connections()),
          ToGauge("rwkv_connections_max",
                  "The maximum number of connections (--max_connections).",
                  listener_->limits().total),
          ToGauge("rwkv_unfinished_message_bytes",
                  "The memory of request messages that are incomplete, or that "
                  "the server has not read.",
                  static_cast<double>(listener_->message_bytes())),
          CertificateLeft(tls_),
          ToGauge("rwkv_tls_reload_failed",
                  "1 while the files of TLS are bad and the last good ones are "
                  "in use, otherwise 0.",
                  tls_ != nullptr && tls_->reload_failed() ? 1 : 0),
          Refusals(*listener_),
          Abuses(*listener_),
          ToGauge("process_max_fds", "The limit of open file descriptors.",
                  MaxDescriptors())};
}

}  // namespace rwkvd
