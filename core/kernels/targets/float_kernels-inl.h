// SPDX-License-Identifier: Apache-2.0
// The table of the float kernels, which base.cc compiles for every target.

#if defined(RWKVD_CORE_KERNELS_TARGETS_FLOAT_KERNELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_TARGETS_FLOAT_KERNELS_INL_H_
#undef RWKVD_CORE_KERNELS_TARGETS_FLOAT_KERNELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_TARGETS_FLOAT_KERNELS_INL_H_
#endif

#include "core/kernels/elementwise-inl.h"
#include "core/kernels/gemm/dispatch-inl.h"
#include "core/kernels/kernel_table.h"
#include "core/kernels/wkv-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {

const KernelTable* FloatKernels() {
  static constexpr KernelTable kTable = {
      .name = nullptr,
      .matmul = &MatMul,
      // quantized_kernels-inl.h sets these four.
      .wants_int16_activations = false,
      .quantize_row = nullptr,
      .quantized_matmul = nullptr,
      .ggml_matmul = nullptr,
      .to_float = &ToFloat,
      .layer_norm = &LayerNorm,
      .token_shift = &TokenShift,
      .wkv4 = &Wkv4,
      .wkv6 = &Wkv6,
      .wkv7 = &Wkv7,
      .add = &AddTo,
      .mul = &MulTo,
      .sub = &Sub,
      .mul_add = &MulAdd,
      .lerp = &Lerp,
      .add_gated = &AddGated,
      .mul_silu = &MulSilu,
      .squared_relu = &SquaredRelu,
      .sigmoid = &SigmoidOf,
      .tanh = &TanhOf,
      .decay6 = &Decay6,
      .decay7 = &Decay7,
      .normalize = &Normalize,
      .scale_key = &ScaleKey,
      .add_bonus = &AddBonus,
  };
  static const KernelTable named = [] {
    KernelTable table = kTable;
    table.name = hwy::TargetName(HWY_TARGET);
    return table;
  }();
  return &named;
}

}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
