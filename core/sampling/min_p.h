// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_MIN_P_H_
#define RWKVD_CORE_SAMPLING_MIN_P_H_

#include "core/sampling/distribution.h"

namespace rwkvd {

// Leaves the candidates that are at least p times as likely as the likeliest,
// p in (0, 1]. `distribution` is not empty.
void KeepMinP(double p, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_MIN_P_H_
