// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_LOCALLY_TYPICAL_H_
#define RWKVD_CORE_SAMPLING_LOCALLY_TYPICAL_H_

#include "core/sampling/distribution.h"

namespace rwkvd {

// Leaves the most typical candidates (arXiv 2202.00666): those whose -ln p is
// closest to the entropy, the mean of -ln p, and whose probabilities first sum
// to `p` or more, p in (0, 1). Those as close as the last of them stay too.
// `distribution` is not empty.
void KeepLocallyTypical(double p, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_LOCALLY_TYPICAL_H_
