// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "service/log.h"
#include "service/states/expiry_index.h"
#include "service/states/state_directory.h"
#include "service/states/state_store.h"
#include "service/states/store_clock.h"

namespace rwkvd {

// A store of files in one private directory, named HANDLE.state. They survive a
// restart, and several servers of one user may share the directory. A file gets
// its name when it is complete. Files with other names are not touched, except
// the drafts of interrupted writes.
//
// Each file records when it was written (its modification time) and when it
// expires (its name). The store keeps an index of the files in memory, so that
// no call looks at all of them; Open and Check read the directory. StoreClock
// says what a wrong or changed system clock does to the files.
//
// Thread-safe.
class DirectoryStateStore final : public StateStore {
 public:
  // Creates the directory, with access for this user only, if it does not
  // exist; see StateDirectory::Prepare. Returns the error of the operating
  // system, with the path, if that fails.
  static absl::StatusOr<std::unique_ptr<DirectoryStateStore>> Open(
      const std::string& directory, int64_t max_bytes, StoreTime now);

  absl::Status PutAs(const std::string& handle, std::string bytes,
                     StoreTime now, absl::Duration time_to_live,
                     int64_t max_owner_bytes) override
      ABSL_LOCKS_EXCLUDED(put_mutex_, mutex_);
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, StoreTime now, int64_t max_bytes) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Delete(absl::string_view handle, StoreTime now) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Check(StoreTime now) override ABSL_LOCKS_EXCLUDED(mutex_);
  Figures figures() const override ABSL_LOCKS_EXCLUDED(mutex_);
  bool outlives_process() const override { return true; }

 private:
  DirectoryStateStore(std::string path, int64_t max_bytes, StoreTime now)
      : path_(std::move(path)), max_bytes_(max_bytes), clock_(path_, now) {}

  // Opens the directory, and reads it if it is another one than before.
  absl::StatusOr<StateDirectory> OpenDirectory(StoreTime now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes the index equal to the directory, and deletes old drafts. Calls on
  // other threads may change both meanwhile.
  absl::Status Scan(const StateDirectory& directory, StoreTime now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Deletes at most `max_files` files that are due.
  absl::Status DeleteDue(const StateDirectory& directory, StoreTime now,
                         int64_t max_files) ABSL_LOCKS_EXCLUDED(mutex_);
  // Deletes files that are due until there is room for `size` bytes.
  absl::Status MakeRoom(const StateDirectory& directory, StoreTime now,
                        int64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(put_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<bool> DeleteFile(const StateDirectory& directory,
                                  absl::string_view handle)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Adds the files that are not in the index. Returns the handles in the index
  // that have no file among `files`.
  std::vector<std::string> Index(absl::Span<const StateDirectory::File> files,
                                 StoreTime now, StoreClock::Oddities* oddities)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOldDraft(const StateDirectory::File& file, StoreTime now) const;

  // Logs an error.
  void Note(const absl::Status& status);
  // The error for the client of a failure of the disk, which it logs.
  absl::Status Failure(const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetUsable(bool is_usable) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  const int64_t max_bytes_;
  StoreClock clock_;
  LimitedLog failure_log_{absl::Seconds(1)};
  LimitedLog clock_log_{absl::Hours(1)};

  // Held while a state is stored, so that several do not use the same room;
  // before mutex_.
  absl::Mutex put_mutex_;

  mutable absl::Mutex mutex_;  // never held while waiting for the disk
  ExpiryIndex index_ ABSL_GUARDED_BY(mutex_);
  struct stat indexed_ ABSL_GUARDED_BY(mutex_) = {};  // the directory of index_
  bool is_usable_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_
