// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_IDENTITY_SOURCE_H_
#define RWKVD_SERVICE_AUTH_IDENTITY_SOURCE_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/auth/identity_table.h"

namespace rwkvd {

// Which file was read, and when it was changed: two versions of a file differ
// in it. A value.
struct FileVersion {
  dev_t device = 0;
  ino_t inode = 0;
  int64_t bytes = -1;  // -1: there is no file
  absl::Time modified;
  absl::Time changed;

  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};

// The version of the file at `path`.
FileVersion VersionOf(const std::string& path);

// The text of the token file at `path`. An error names the file, and says what
// was expected:
//  - the error of the operating system;
//  - PermissionDenied if the file belongs to neither root nor the user of this
//    process, or if others can write it;
//  - InvalidArgument if it is no regular file, or has more than
//    kMaxTokenFileBytes;
//  - Unavailable if it changed while it was read.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

// The identities of the token file, which it reads again when the file changes
// or ReloadSoon is called. A new copy replaces the old one as a whole. If it
// cannot be read or is wrong, the last good copy stays, and the log says why.
//
// Owned by the server. Thread-safe.
class IdentitySource {
 public:
  // How often a thread looks whether the file has changed.
  static constexpr absl::Duration kCheckInterval = absl::Seconds(1);

  struct Figures {
    int64_t reloads = 0;     // successful ones
    int64_t failures = 0;    // of reloads
    bool is_current = true;  // whether the last reload succeeded
    int64_t num_identities = 0;
  };

  // Reads the file. Errors are those of ReadTokenFile and ParseTokenFile.
  static absl::StatusOr<std::unique_ptr<IdentitySource>> Open(
      const std::string& path, absl::Duration check_interval = kCheckInterval);
  ~IdentitySource();
  IdentitySource(const IdentitySource&) = delete;
  IdentitySource& operator=(const IdentitySource&) = delete;

  // The current identities.
  std::shared_ptr<const IdentityTable> table() const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes the thread read the file again, whether it has changed or not. Does
  // not block.
  void ReloadSoon();

  Figures figures() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  IdentitySource(std::string path, absl::Duration check_interval);

  void Run();
  absl::Status Reload() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  const absl::Duration check_interval_;
  FileVersion tried_;  // the thread's, once it runs
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> num_wishes_{0};  // calls of ReloadSoon

  mutable absl::Mutex mutex_;
  std::shared_ptr<const IdentityTable> table_ ABSL_GUARDED_BY(mutex_);
  Figures figures_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_IDENTITY_SOURCE_H_
