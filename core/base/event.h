// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_EVENT_H_
#define RWKVD_CORE_BASE_EVENT_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace rwkvd {

// Something that happens once, such as the second request to end a process.
// Unlike with absl::Notification and absl::Mutex, a timed wait uses the
// monotonic clock: it takes equally long when the clock of the system is set
// meanwhile.
//
// Thread-safe. Notify has returned before the event is destroyed.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // The event has happened. Further calls do nothing.
  void Notify();
  bool HasHappened() const {
    return happened_.load(std::memory_order_acquire) != 0;
  }
  // Waits until the event happens or `time` has passed. Returns whether it has
  // happened.
  bool WaitFor(absl::Duration time) const;

 private:
  std::atomic<uint32_t> happened_{0};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_EVENT_H_
