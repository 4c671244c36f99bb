// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_REPLACE_FILE_H_
#define RWKVD_CORE_BASE_REPLACE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Atomically replaces the contents of the file `path`, or creates it: writes
// `bytes` to a temporary file in the same directory, then renames that file to
// `path`. Every reader sees the old contents or the new ones, whatever fails.
// The new contents survive a power failure once the function has returned OK.
// Otherwise returns the status of the system call that failed; the message
// names the file.
absl::Status ReplaceFile(const std::string& path, absl::string_view bytes);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_REPLACE_FILE_H_
