// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
#define RWKVD_CORE_MODEL_MODEL_OPTIONS_H_

#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The official epsilon in the normalisation of each head's output (versions 5
// to 7): that of an input divided by 8, 1e-5, times 8^2.
inline constexpr float kGroupNormEpsilon = 64e-5f;

// What a checkpoint does not say of its network, and how to hold it. A value.
struct ModelOptions {
  const KernelTable* kernels = &BestKernels();
  float group_norm_epsilon = kGroupNormEpsilon;
  // Quantized while loading, unless kAsStored.
  WeightKind weights = WeightKind::kAsStored;
  // That does the quantizing; nullptr: the calling thread alone.
  ThreadPool* pool = nullptr;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
