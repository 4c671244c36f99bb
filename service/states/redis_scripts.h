// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_SCRIPTS_H_
#define RWKVD_SERVICE_STATES_REDIS_SCRIPTS_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// Scripts in Lua that RedisStateStore runs in the server, each in one step.
// Their keys are the index (a sorted set: handle by the time when the state
// expires), the sizes (a hash: bytes by handle) and the sums (a hash: bytes by
// owner, and of "all"). ARGV has the prefix of the states' keys, a handle, and
// what the script needs further.
//
// Each script first looks at up to 1,000 states that are due by the index:
// those that Redis still has stay in the index, since their time may have been
// changed; the others leave it.

// Reserves room for a state. ARGV: its size, the limit of all states, that of
// its owner, and how many milliseconds the reservation lasts. Returns kReserved
// and the bytes and the number of all states; kFull with the same and the
// milliseconds until the next state expires; or kOwnerFull with the same and
// the bytes of the owner.
absl::string_view ReserveScript();

enum ReserveCode { kReserved = 0, kFull = 1, kOwnerFull = 2 };

// Makes the index say what Redis has under the handle: the size and the time to
// live, or nothing. Returns whether there is a state, the bytes and the number
// of all states, and 0.
absl::string_view RefreshScript();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_SCRIPTS_H_
