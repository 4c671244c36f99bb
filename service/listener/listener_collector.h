// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_LISTENER_COLLECTOR_H_
#define RWKVD_SERVICE_LISTENER_LISTENER_COLLECTOR_H_

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "service/listener/listener.h"
#include "service/listener/tls_keys.h"

namespace rwkvd {

// Reads the listener's numbers whenever Prometheus scrapes the server.
//
// Owned by the server and the metrics endpoint. Thread-safe.
class ListenerCollector : public prometheus::Collectable {
 public:
  // Sets the listener and the keys of TLS, which are null without TLS; or null
  // before these are destroyed. No metrics are exported while there is no
  // listener.
  void Observe(Listener* listener, const TlsKeyStore* tls = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<prometheus::MetricFamily> Collect() const override
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  Listener* listener_ ABSL_GUARDED_BY(mutex_) = nullptr;
  const TlsKeyStore* tls_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_LISTENER_COLLECTOR_H_
