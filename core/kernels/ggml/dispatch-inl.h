// SPDX-License-Identifier: Apache-2.0
// KernelTable::ggml_matmul: chooses a kernel by block type.

#if defined(RWKVD_CORE_KERNELS_GGML_DISPATCH_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GGML_DISPATCH_INL_H_
#undef RWKVD_CORE_KERNELS_GGML_DISPATCH_INL_H_
#else
#define RWKVD_CORE_KERNELS_GGML_DISPATCH_INL_H_
#endif

#include "core/base/dtype.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/ggml/matmul_args.h"
#include "core/kernels/ggml/panels-inl.h"
#include "core/kernels/ggml/scalar-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// KernelTable::ggml_matmul.
void GgmlMatMul(const GgmlMatMulArgs& args, int64_t begin, int64_t end) {
  switch (args.w.type) {
    case DType::kQ8_0:
      return MultiplyGgmlPanels<DType::kQ8_0>(args, begin, end);
    case DType::kQ4_0:
      return MultiplyGgmlPanels<DType::kQ4_0>(args, begin, end);
    case DType::kQ4_1:
      return MultiplyGgmlPanels<DType::kQ4_1>(args, begin, end);
    case DType::kQ5_0:
      return MultiplyGgmlPanels<DType::kQ5_0>(args, begin, end);
    case DType::kQ5_1:
      return MultiplyGgmlPanels<DType::kQ5_1>(args, begin, end);
    case DType::kQ2_K:
      return MultiplyGgmlPanels<DType::kQ2_K>(args, begin, end);
    case DType::kQ3_K:
      return MultiplyGgmlPanels<DType::kQ3_K>(args, begin, end);
    case DType::kQ4_K:
      return MultiplyGgmlPanels<DType::kQ4_K>(args, begin, end);
    case DType::kQ5_K:
      return MultiplyGgmlPanels<DType::kQ5_K>(args, begin, end);
    case DType::kQ6_K:
      return MultiplyGgmlPanels<DType::kQ6_K>(args, begin, end);
    case DType::kIQ4_NL:
      return MultiplyGgmlPanels<DType::kIQ4_NL>(args, begin, end);
    case DType::kIQ4_XS:
      return MultiplyGgmlPanels<DType::kIQ4_XS>(args, begin, end);
    default:
      return;  // no block type
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
