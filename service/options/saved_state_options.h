// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

// Where states are saved for clients, how long, and how many. A value.
struct SavedStateOptions {
  std::string state_dir;  // empty: states are saved in memory
  int64_t state_store_bytes = int64_t{256} << 20;
  absl::Duration state_ttl = absl::Hours(1);
  int64_t max_pending_states_bytes = int64_t{1} << 30;
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadSavedStateFlags(SavedStateOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_
