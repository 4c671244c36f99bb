// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MODEL_OPTIONS_H_
#define RWKVD_CORE_MODEL_MODEL_OPTIONS_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The epsilon of the normalization of each head's output (versions 5 to 7). The
// official implementation divides its input by 8 and uses 1e-5, hence 8^2 *
// 1e-5.
inline constexpr float kGroupNormEpsilon = 64e-5f;

// How the activations that quantized matrices are multiplied by are rounded.
// docs/numerics.md has the precision of each.
enum class ActivationKind {
  kAuto,  // to int16, or to int8 where rounding the weights has cost more
  kInt8,  // to int8
  // Not at all in matrices of block types, which GGUF files hold: these are
  // widened to f32 in memory. Others: like kAuto.
  kF32,
};

inline constexpr ActivationKind kActivationKinds[] = {
    ActivationKind::kAuto, ActivationKind::kInt8, ActivationKind::kF32};

// "auto", "int8" or "f32".
constexpr absl::string_view NameOf(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kInt8:
      return "int8";
    case ActivationKind::kF32:
      return "f32";
    default:
      return "auto";
  }
}

// The inverse of NameOf; nullopt for any other string.
constexpr std::optional<ActivationKind> ActivationKindFromName(
    absl::string_view name) {
  for (const ActivationKind kind : kActivationKinds) {
    if (NameOf(kind) == name) return kind;
  }
  return std::nullopt;
}

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
