// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/slot_release_rate.h"

#include <algorithm>

namespace rwkvd {
namespace {

// The factor by which each release decays the weight of earlier ones.
constexpr double kDecay = 15.0 / 16;

}  // namespace

void SlotReleaseRate::SetFull(bool full, absl::Time now) {
  if (!full) {
    full_since_.reset();
  } else if (!full_since_.has_value()) {
    full_since_ = now;
  }
}

void SlotReleaseRate::NoteReleased(int64_t num, absl::Time now) {
  if (!full_since_.has_value()) return;
  const double seconds = absl::ToDoubleSeconds(now - *full_since_);
  released_ = released_ * kDecay + static_cast<double>(num);
  // Never negative, although a clock may be set back.
  seconds_ = seconds_ * kDecay + std::max(seconds, 0.0);
  full_since_ = now;
}

std::optional<absl::Duration> SlotReleaseRate::TimeFor(int64_t num) const {
  if (released_ == 0) return std::nullopt;
  return absl::Seconds(static_cast<double>(num) * seconds_ / released_);
}

}  // namespace rwkvd
