// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/states/redis_options.h"

namespace rwkvd {

// Where states are saved for clients, how long, and how many. A value.
struct SavedStateOptions {
  // At most one of the two is given. Without both, states are saved in memory.
  std::string state_dir;
  std::optional<RedisOptions> state_store;
  int64_t state_store_bytes = int64_t{256} << 20;
  absl::Duration state_ttl = absl::Hours(1);
  int64_t max_pending_states_bytes = int64_t{1} << 30;

  bool saves_states_in_memory() const {
    return state_dir.empty() && !state_store.has_value();
  }
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadSavedStateFlags(SavedStateOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_SAVED_STATE_OPTIONS_H_
