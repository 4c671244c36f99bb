// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TOP_K_H_
#define RWKVD_CORE_SAMPLING_TOP_K_H_

#include <cstdint>

#include "core/sampling/distribution.h"

namespace rwkvd {

// Leaves the k >= 1 likeliest candidates; of those alike at the edge the ones
// of lower ids. `distribution` is not empty.
void KeepTopK(int64_t k, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TOP_K_H_
