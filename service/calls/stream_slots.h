// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_STREAM_SLOTS_H_
#define RWKVD_SERVICE_CALLS_STREAM_SLOTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/calls/call_monitor.h"

namespace rwkvd {

// A limited number of slots for streams that hold memory while they wait for
// their clients. The clients share them fairly:
//
//  - The streams of one client may take as many slots as remain free. A client
//    is an identity, or an address on a server that knows no identities.
//  - A stream whose client keeps it waiting loses its slot to another stream
//    that would be refused, and is given up.
//
// Owned by the service; outlives the streams. Thread-safe.
class StreamSlots {
 public:
  // How long a client may keep its stream waiting before that can lose its
  // slot.
  static constexpr absl::Duration kMaxWait = absl::Seconds(5);

  // `monitor` outlives the slots.
  explicit StreamSlots(CallMonitor* monitor, absl::Duration max_wait = kMaxWait)
      : monitor_(monitor), max_wait_(max_wait) {}

  // Gives `call`, whose client is `identity` or, if that is empty, has the
  // address of `peer` (see ServerContext::peer), one of `limit` slots. Returns
  // false if none can be had. A call takes one slot at most.
  bool Take(MonitoredCall* call, absl::string_view identity,
            absl::string_view peer, int32_t limit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns the slot of `call` if it has one.
  void Release(MonitoredCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  int32_t num_taken() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Holder {
    MonitoredCall* call = nullptr;
    std::string client;  // the identity or the address
  };

  // The holder that has waited for its client for longest, of those of this
  // client (empty: of all), if it may lose its slot; else null.
  Holder* LongestWaiting(absl::string_view client)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CallMonitor* const monitor_;
  const absl::Duration max_wait_;
  mutable absl::Mutex mutex_;
  std::vector<Holder> holders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_STREAM_SLOTS_H_
