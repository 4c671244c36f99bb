// SPDX-License-Identifier: Apache-2.0
// The quantized kernels of a KernelTable and, with AMX, its matmul for bf16
// weights. base_quantized.cc, vnni.cc and amx.cc compile them.

#if defined(RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#undef RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#endif

#include "core/kernels/amx/dispatch-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/ggml/dispatch-inl.h"
#include "core/kernels/kernel_table.h"
#include "core/kernels/quant/activations-inl.h"
#include "core/kernels/quant/dispatch-inl.h"
#include "core/kernels/quant/dot-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Puts this target's functions into `table`.
[[maybe_unused]] void SetQuantizedKernels(KernelTable* table) {
#if HWY_TARGET != HWY_SCALAR
  table->wants_int16_activations = Dot::kTakesInt16;
#endif
  table->quantize_row = &QuantizeRow;
  table->ggml_matmul = &GgmlMatMul;
#ifdef RWKVD_DOT_AMX
  table->quantized_matmul = &AmxQuantizedMatMul;
  table->matmul = &AmxMatMul;
#else
  table->quantized_matmul = &QuantizedMatMul;
#endif
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
