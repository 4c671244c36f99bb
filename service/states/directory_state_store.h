// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "service/states/state_store.h"

namespace rwkvd {

// A store of files in one directory, named HANDLE.state. They survive a
// restart, and several servers may share the directory. A file gets its name
// when it is complete. Files with other names are not touched, except the
// drafts of interrupted writes. Thread-safe.
class DirectoryStateStore final : public StateStore {
 public:
  // Creates the directory, with access for this user only, if it does not
  // exist. Returns the error of the operating system, with the path, if that
  // fails.
  static absl::StatusOr<std::unique_ptr<DirectoryStateStore>> Open(
      const std::string& directory, int64_t max_bytes, absl::Time now);

  absl::StatusOr<std::string> Put(std::string bytes, absl::Time now,
                                  absl::Time expires) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, absl::Time now) override;
  absl::Status Delete(absl::string_view handle, absl::Time now) override;
  Figures figures() const override ABSL_LOCKS_EXCLUDED(mutex_);
  bool outlives_process() const override { return true; }

 private:
  DirectoryStateStore(std::string directory, int64_t max_bytes)
      : directory_(std::move(directory)), max_bytes_(max_bytes) {}

  std::string PathOf(absl::string_view handle) const;
  // Deletes the files that have expired, and counts the others.
  absl::Status Sweep(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string directory_;
  const int64_t max_bytes_;
  mutable absl::Mutex mutex_;  // one writer at a time in this process
  Figures figures_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_DIRECTORY_STATE_STORE_H_
