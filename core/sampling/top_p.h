// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TOP_P_H_
#define RWKVD_CORE_SAMPLING_TOP_P_H_

#include <cstdint>

#include "core/sampling/distribution.h"

namespace rwkvd {

// Leaves the likeliest candidates whose probabilities first sum to p or more,
// p in (0, 1); those as likely as the last of them stay too. Then, of these,
// the `top_k` likeliest, as KeepTopK does, but with less work; 0 for all.
// `distribution` is not empty.
void KeepTopP(double p, Distribution* distribution, int64_t top_k = 0);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TOP_P_H_
