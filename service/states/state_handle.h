// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_HANDLE_H_
#define RWKVD_SERVICE_STATES_STATE_HANDLE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// A name for a state: 32 random hexadecimal digits, "-", and 12 that say when
// it expires, in milliseconds of Unix time. Whoever has it may use the state.
// It is fit for a file's name, and nothing else is taken for a handle.
std::string NewStateHandle(absl::Time expires);

// When it expires; nullopt if it is no handle.
std::optional<absl::Time> ExpiryOf(absl::string_view handle);

// NotFound for a state that is not there, or not any more. Says what was asked
// for, however strange.
absl::Status NoSuchState(absl::string_view handle, absl::Time now);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_HANDLE_H_
