// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace rwkvd {

// How fast places become free while all of them are taken: the mean over the
// last few that did, so that who waits can be told how long. Time comes as an
// argument. Thread-compatible; owned by the engine.
class SlotReleaseRate {
 public:
  // Whether all places are taken from `now` on.
  void SetFull(bool full, absl::Time now);

  // `num` places, at least one, have just become free.
  void NoteReleased(int64_t num, absl::Time now);

  // How long `num` places take to become free. Nothing as long as none did.
  std::optional<absl::Duration> TimeFor(int64_t num) const;

 private:
  std::optional<absl::Time> full_since_;  // or the last one became free
  // Those that became free and the time it took, older ones counting less.
  double released_ = 0;
  double seconds_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_
