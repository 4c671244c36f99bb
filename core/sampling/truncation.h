// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TRUNCATION_H_
#define RWKVD_CORE_SAMPLING_TRUNCATION_H_

#include "core/sampling/distribution.h"
#include "core/sampling/sampling_params.h"

namespace rwkvd {

// Leaves the candidates that top-k, tail-free, locally typical, top-p and
// min-p leave, as far as they are on, in the order of `params`. Each looks at
// the probabilities among those that the ones before it have left.
// `distribution` is not empty.
void Truncate(const SamplingParams& params, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TRUNCATION_H_
