// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_REPLACE_FILE_H_
#define RWKVD_CORE_BASE_REPLACE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// Atomically replaces the contents of the file `path`, or creates it: writes
// `bytes` to a temporary file in the same directory, then renames that file to
// `path`. Every reader sees the old contents or the new ones, whatever fails.
// The new contents survive a power failure once the function has returned OK.
// Otherwise returns the status of the system call that failed; the message
// names the file.
absl::Status ReplaceFile(const std::string& path, absl::string_view bytes);

// As above for the file `name` in the directory that is open as `directory_fd`.
// Only the user of this process can read and write the file (mode 0600). Its
// modification time becomes `modified`.
absl::Status ReplacePrivateFile(int directory_fd, const std::string& name,
                                absl::string_view bytes, absl::Time modified);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_REPLACE_FILE_H_
