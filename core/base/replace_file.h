// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_REPLACE_FILE_H_
#define RWKVD_CORE_BASE_REPLACE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Makes `bytes` the contents of the file `path`: they are written to another
// file beside it, which then takes its name. Once it has returned OK, they
// survive a loss of power. Otherwise the status says what the operating system
// reports and of which file. At any time, and whatever goes wrong, whoever
// opens `path` finds the old contents or the new ones, never a part.
absl::Status ReplaceFile(const std::string& path, absl::string_view bytes);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_REPLACE_FILE_H_
