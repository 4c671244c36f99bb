// SPDX-License-Identifier: Apache-2.0
// KernelTable::matmul: chooses a kernel by dtype, storage order and rows of x.

#if defined(RWKVD_CORE_KERNELS_GEMM_DISPATCH_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_DISPATCH_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_DISPATCH_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_DISPATCH_INL_H_
#endif

#include "core/kernels/gemm/col_major_gemm-inl.h"
#include "core/kernels/gemm/col_major_gemv-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/row_major-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Rows [row_begin, row_end) of y, for all rows of x.
template <DType kType>
void MatMulTyped(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.transposed) {
    if (args.num_x >= Tiling::kColMajorGemmMinX &&
        ColMajorGemm<kType>(args, row_begin, row_end)) {
      return;
    }
    return ColMajorGemv<kType>(args, row_begin, row_end);
  }
  if (kType != DType::kF32 && args.num_x >= Tiling::WidenFirstMinX(kLanes) &&
      MultiplyThroughF32<kType>(args, row_begin, row_end)) {
    return;
  }
  if (ReadsRowByRow<kType>(args)) {
    return MultiplyWeightRows<kType, true, 1, 1>(args, row_begin, row_end, 0);
  }
  if constexpr (kType != DType::kF32) {
    return MultiplyCachedRows<kType>(args, row_begin, row_end);
  }
  // The hardware prefetcher follows one stream of reads per page. Rows so short
  // that a micro-kernel has several of them in one page are prefetched.
  if (args.cols * Weight<kType>::kBytes < Tiling::kPageBytes) {
    MultiplyRemainingX<kType, true, kRowMajorX>(args, row_begin, row_end, 0);
  } else {
    MultiplyRemainingX<kType, false, kRowMajorX>(args, row_begin, row_end, 0);
  }
}

// KernelTable::matmul.
void MatMul(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  switch (args.dtype) {
    case DType::kF32:
      return MatMulTyped<DType::kF32>(args, row_begin, row_end);
    case DType::kF16:
      return MatMulTyped<DType::kF16>(args, row_begin, row_end);
    case DType::kBF16:
      return MatMulTyped<DType::kBF16>(args, row_begin, row_end);
    default:
      return;  // quantized weights take KernelTable::quantized_matmul
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
