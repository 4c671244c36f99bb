// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_FILE_NAME_H_
#define RWKVD_SERVICE_STATES_STATE_FILE_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The name of the file with a state: HANDLE.state.
std::string StateFileName(absl::string_view handle);

// The handle in the name of a state file; empty for other files.
absl::string_view HandleIn(absl::string_view name);

// Whether this is the name of a state file that was not completed; see
// ReplaceFile.
bool IsDraft(absl::string_view name);

// Whether a file with this name belongs to a store.
bool IsOwnFile(absl::string_view name);

// A new name for a draft that only tests whether the directory can be written.
std::string NewDraftName();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_FILE_NAME_H_
