// SPDX-License-Identifier: Apache-2.0
#include "service/states/store_clock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "service/log.h"

namespace rwkvd {

absl::Time StoreClock::EarliestNow(StoreTime now) const {
  return std::min(now.system,
                  opened_.system + (now.since_boot - opened_.since_boot));
}

ExpiryIndex::Entry StoreClock::EntryOf(const StateDirectory::File& file,
                                       absl::Time expiry, StoreTime now,
                                       Oddities* oddities) const {
  const absl::Duration time_to_live = expiry - file.modified;
  const absl::Time system = EarliestNow(now);
  if (file.modified > system + kMaxDifference &&
      time_to_live > absl::ZeroDuration()) {
    ++oddities->num_from_future;
    return {file.bytes, now.since_boot + time_to_live};
  }
  if (expiry > system) {
    return {file.bytes, now.since_boot + (expiry - system)};
  }
  ++oddities->num_doubtful;
  // A copy may be younger than its expiry; its time to live is not known then.
  const absl::Duration doubt = time_to_live > absl::ZeroDuration()
                                   ? std::min(time_to_live, kDoubt)
                                   : kDoubt;
  return {file.bytes, now.since_boot + doubt, /*is_doubtful=*/true};
}

bool StoreClock::IsServed(const ExpiryIndex::Entry& entry, absl::Time expiry,
                          StoreTime now) {
  if (entry.is_doubtful) return now.system < expiry;
  return now.since_boot < entry.deletion;
}

void StoreClock::CompareClocks(StoreTime now) {
  const absl::Duration step =
      (now.system - opened_.system) - (now.since_boot - opened_.since_boot);
  {
    absl::MutexLock lock(&mutex_);
    if (absl::AbsDuration(step - step_) <= kMaxDifference) return;
    step_ = step;
  }
  LogWarning(absl::StrCat(
      "the system clock has been set: since the start it has gained ",
      absl::FormatDuration(step),
      ". Saved states expire as if it had not been set"));
}

void StoreClock::LogOddities(const Oddities& oddities) const {
  if (oddities.num_from_future > 0) {
    LogWarning(absl::StrCat(
        oddities.num_from_future, " states in ", path_,
        " were written in the future by the system clock, which may be wrong: "
        "they are kept for their time to live from now on"));
  }
  if (oddities.num_doubtful > 0) {
    LogInfo(absl::StrCat(
        oddities.num_doubtful, " states in ", path_,
        " have expired by the system clock: they are not served, and are "
        "deleted in at most ",
        absl::FormatDuration(kDoubt), " unless the clock is corrected"));
  }
}

}  // namespace rwkvd
