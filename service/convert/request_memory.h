// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_REQUEST_MEMORY_H_
#define RWKVD_SERVICE_CONVERT_REQUEST_MEMORY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/base/byte_budget.h"

namespace rwkvd {

// Reserves `bytes` more in `memory`, unless that is null. A negative number
// returns memory, which always succeeds. Otherwise OutOfRequestMemory.
absl::Status ReserveMore(ByteBudget::Reservation* memory, int64_t bytes);

// Why a request cannot have `bytes` of `budget`, of which it has `held`
// already: ResourceExhausted, with a RetryAfter unless the budget is too small
// altogether. The error is that of the identity's quota if `share`, its share
// of the budget, has too little left; null if there is none.
absl::Status OutOfRequestMemory(int64_t bytes, const ByteBudget& budget,
                                const ByteBudget* share = nullptr,
                                int64_t held = 0);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_REQUEST_MEMORY_H_
