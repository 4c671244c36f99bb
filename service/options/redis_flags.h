// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_REDIS_FLAGS_H_
#define RWKVD_SERVICE_OPTIONS_REDIS_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "service/states/redis_options.h"

namespace rwkvd {

// The options that the flags give; nullopt without --state_store.
// InvalidArgument with the flag and the values that are allowed; the message
// does not show what may be a password.
absl::StatusOr<std::optional<RedisOptions>> ReadRedisFlags();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_REDIS_FLAGS_H_
