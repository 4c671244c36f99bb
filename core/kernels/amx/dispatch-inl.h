// SPDX-License-Identifier: Apache-2.0
// Chooses between AMX and the other kernels: KernelTable::matmul and
// quantized_matmul of the table "AVX3_AMX".

#if defined(RWKVD_CORE_KERNELS_AMX_DISPATCH_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_DISPATCH_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_DISPATCH_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_DISPATCH_INL_H_
#endif

#include "core/kernels/extensions-inl.h"
#ifdef RWKVD_DOT_AMX
#include "core/kernels/amx/bf16_col_major_gemv-inl.h"
#include "core/kernels/amx/bf16_gemm-inl.h"
#include "core/kernels/amx/bf16_gemv-inl.h"
#include "core/kernels/amx/int8_gemm-inl.h"
#include "core/kernels/gemm/dispatch-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/quant/dispatch-inl.h"
#include "core/kernels/quant/matmul_args.h"
#endif
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// Returns whether AMX multiplies a float matrix. This depends on the matrix
// alone, not on x, because AMX rounds differently from vectors.
bool UsesTiles(const MatMulArgs& args) {
  return args.dtype == DType::kBF16 && args.cols > 0 &&
         args.cols % kStepCols == 0 && args.cols <= kMaxCols;
}

// Rows [row_begin, row_end) of y, for all rows of x. Returns false, having done
// nothing, if AMX does not multiply the matrix.
bool MatMulByTiles(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (!UsesTiles(args)) return false;
  if (args.num_x > 1) {
    Bf16Gemm(args, row_begin, row_end);
  } else if (args.transposed) {
    Bf16ColMajorGemv(args, row_begin, row_end);
  } else {
    Bf16RowMajorGemv(args, row_begin, row_end);
  }
  return true;
}

// KernelTable::matmul.
void AmxMatMul(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (MatMulByTiles(args, row_begin, row_end)) return;
  MatMul(args, row_begin, row_end);
}

// KernelTable::quantized_matmul.
void AmxQuantizedMatMul(const QuantizedMatMulArgs& args, int64_t begin,
                        int64_t end) {
  if (QuantizedMatMulByTiles(args, begin, end)) return;
  QuantizedMatMul(args, begin, end);
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
