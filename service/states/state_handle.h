// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_HANDLE_H_
#define RWKVD_SERVICE_STATES_STATE_HANDLE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// A new handle for a state: 32 random hexadecimal digits, "-", and 12 digits
// for the time when it expires, in milliseconds of Unix time. Any client of the
// same partition that knows a handle may use its state. A handle is a valid
// file name.
std::string NewStateHandle(absl::Time expires);

// The handle under which a store keeps the state that a client of `partition`
// knows as `handle`: the same one for the empty partition. Otherwise its first
// digits are a digest of the partition, and the next ones of the partition and
// the handle. So the handle of another partition's state leads nowhere, by the
// same steps, and the store sees whose its states are without their names. A
// string that is no handle is returned as it is.
std::string StoredHandle(absl::string_view handle, absl::string_view partition);

// The digits of a stored handle that are the same for all states of a
// partition. Random if the state belongs to the empty one.
absl::string_view OwnerIn(absl::string_view stored_handle);

// The time when a handle expires; nullopt if `handle` is not one.
std::optional<absl::Time> ExpiryOf(absl::string_view handle);

// NotFound for a state that does not exist, or has expired. The message quotes
// `handle`, which may be any string.
absl::Status NoSuchState(absl::string_view handle, absl::Time now);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_HANDLE_H_
