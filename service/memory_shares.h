// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_MEMORY_SHARES_H_
#define RWKVD_SERVICE_MEMORY_SHARES_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "service/options/options.h"

namespace rwkvd {

// The bytes that a server with these limits may take. A higher limit never
// makes it smaller.
using SumOfLimits = absl::FunctionRef<int64_t(const Options&)>;

// `options` with the lowest values of all limits that no flag has set.
Options LowestLimits(const Options& options);

// `options` with limits that no flag has set lowered as far as necessary for a
// sum of at most `budget` bytes, in which the lowest limits fit. Slots,
// messages and caches get what they can use of half of what is left, half of
// the rest, and the rest; what the caches leave goes back to the others.
Options LimitsWithin(int64_t budget, const Options& options, SumOfLimits sum);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_MEMORY_SHARES_H_
