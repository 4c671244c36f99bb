// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STORE_CLOCK_H_
#define RWKVD_SERVICE_STATES_STORE_CLOCK_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/states/expiry_index.h"
#include "service/states/state_directory.h"
#include "service/states/store_time.h"

namespace rwkvd {

// The clocks of a store of files. From the moment when the store finds a file,
// the clock since boot counts its time, so that setting the system clock
// neither deletes nor prolongs states. A file that has expired already when it
// is found is kept, but not served, for its time to live or kDoubt, whichever
// is less: the clock may be wrong.
//
// Owned by the store. Thread-safe.
class StoreClock {
 public:
  // How long a file is kept that had expired when it was found.
  static constexpr absl::Duration kDoubt = absl::Hours(1);
  // Differences of two clocks up to this one are normal.
  static constexpr absl::Duration kMaxDifference = absl::Minutes(1);

  // Files that were found, and about which the clocks disagree.
  struct Oddities {
    int64_t num_doubtful = 0;     // expired already
    int64_t num_from_future = 0;  // written in the future
  };

  // `path` is the store's directory, and `opened` the time of its start.
  StoreClock(std::string path, StoreTime opened)
      : path_(std::move(path)), opened_(opened) {}

  // The earlier of two readings: the system clock, and the system clock at the
  // start plus the time since then.
  absl::Time EarliestNow(StoreTime now) const;

  // The entry of a file that was found now, and that expires at `expiry`.
  ExpiryIndex::Entry EntryOf(const StateDirectory::File& file,
                             absl::Time expiry, StoreTime now,
                             Oddities* oddities) const;

  // Whether clients may still use a state.
  static bool IsServed(const ExpiryIndex::Entry& entry, absl::Time expiry,
                       StoreTime now);

  // Logs if the system clock has been set.
  void CompareClocks(StoreTime now) ABSL_LOCKS_EXCLUDED(mutex_);
  void LogOddities(const Oddities& oddities) const;

 private:
  const std::string path_;
  const StoreTime opened_;
  absl::Mutex mutex_;
  // How far the system clock has been set since the start, as last logged.
  absl::Duration step_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STORE_CLOCK_H_
