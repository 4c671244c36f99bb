// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FAILED_DOWNLOAD_H_
#define RWKVD_CORE_BASE_FAILED_DOWNLOAD_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// Describes what a failed download leaves in place of a file: a git-lfs pointer
// or a web page, and what to do about it. Returns "" for all other contents.
// The first hundred bytes of the file are enough.
absl::string_view DescribeFailedDownload(absl::string_view content);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FAILED_DOWNLOAD_H_
