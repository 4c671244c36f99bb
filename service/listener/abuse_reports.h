// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_
#define RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/listener/http2_guard.h"
#include "service/listener/refusal_log.h"

namespace rwkvd {

// Counts and logs the connections that were closed because of an abuse of
// HTTP/2.
//
// Shared by the listener and its connections, which gRPC may read when the
// listener is gone. Thread-safe.
class AbuseReports {
 public:
  // A connection is closed because of `abuse`. Times are those of one clock
  // that never goes back.
  void Add(Http2Abuse abuse, absl::Duration now) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t Count(Http2Abuse abuse) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::array<uint64_t, kNumHttp2Abuses> counts_ ABSL_GUARDED_BY(mutex_) = {};
  RefusalLog log_ ABSL_GUARDED_BY(mutex_){absl::Seconds(10)};
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_ABUSE_REPORTS_H_
