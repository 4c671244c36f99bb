// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace rwkvd {

// The rate at which slots are released while all of them are in use: a mean
// over recent releases, from which the engine estimates waiting times. Time is
// an argument. Owned by the engine; thread-compatible.
class SlotReleaseRate {
 public:
  // Records whether all slots are in use from `now` on.
  void SetFull(bool full, absl::Time now);

  // Records that `num` slots, at least one, were released at `now`.
  void NoteReleased(int64_t num, absl::Time now);

  // The estimated time until `num` slots are released. None before the first
  // release.
  std::optional<absl::Duration> TimeFor(int64_t num) const;

 private:
  std::optional<absl::Time> full_since_;  // or since the last release
  // Released slots and the seconds it took, with decaying weights.
  double released_ = 0;
  double seconds_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_SLOT_RELEASE_RATE_H_
