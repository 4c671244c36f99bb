// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_
#define RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "service/listener/http2_guard.h"
#include "service/log.h"

namespace rwkvd {

// Counts and logs the connections that were closed because of an abuse of
// HTTP/2.
//
// Shared by the listener and its connections, which gRPC may read when the
// listener is gone. Thread-safe.
class AbuseReports {
 public:
  // A connection is closed because of `abuse`.
  void Add(Http2Abuse abuse);

  uint64_t Count(Http2Abuse abuse) const {
    return counts_[static_cast<size_t>(abuse)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint64_t>, kNumHttp2Abuses> counts_ = {};
  LimitedLog log_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_
