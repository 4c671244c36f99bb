// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
#define RWKVD_CORE_MODEL_MODEL_OPTIONS_H_

#include "core/kernels/kernels.h"

namespace rwkvd {

// The official epsilon in the normalisation of each head's output (versions 5
// to 7): that of an input divided by 8, 1e-5, times 8^2.
inline constexpr float kGroupNormEpsilon = 64e-5f;

// What a checkpoint does not say of its network. A value.
struct ModelOptions {
  const KernelTable* kernels = &BestKernels();
  float group_norm_epsilon = kGroupNormEpsilon;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
