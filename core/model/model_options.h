// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
#define RWKVD_CORE_MODEL_MODEL_OPTIONS_H_

#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The epsilon of the normalization of each head's output (versions 5 to 7). The
// official implementation divides its input by 8 and uses 1e-5, hence 8^2 *
// 1e-5.
inline constexpr float kGroupNormEpsilon = 64e-5f;

// How matrices of block types, which GGUF files hold, are multiplied. Their
// weights always mean exactly what the file says.
enum class ActivationKind {
  kAuto,  // the fastest way, which may round activations
  kF32,   // by f32 activations: the matrices are widened to f32 in memory
};

// Properties of a model that its checkpoint does not state, and how to load it.
// A value.
struct ModelOptions {
  const KernelTable* kernels = &BestKernels();
  float group_norm_epsilon = kGroupNormEpsilon;
  // The matrices are quantized while loading, unless this is kAsStored.
  WeightKind weights = WeightKind::kAsStored;
  ActivationKind activations = ActivationKind::kAuto;
  // Runs the quantization; nullptr: the calling thread does.
  ThreadPool* pool = nullptr;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
