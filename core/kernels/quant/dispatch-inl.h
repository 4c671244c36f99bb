// SPDX-License-Identifier: Apache-2.0
// KernelTable::quantized_matmul: chooses a kernel by storage order and by the
// number and the zeros of the rows of x.

#if defined(RWKVD_CORE_KERNELS_QUANT_DISPATCH_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_DISPATCH_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_DISPATCH_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_DISPATCH_INL_H_
#endif

#include "core/kernels/extensions-inl.h"
#include "core/kernels/quant/column_blocks-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/quant/row_panels-inl.h"
#include "core/kernels/quant/scalar-inl.h"
#include "core/kernels/quant/sparse_columns-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// Column blocks [begin, end) times all rows of x.
template <QuantType kType>
void MultiplyColumnBlocks(const QuantizedMatMulArgs& args, int64_t begin,
                          int64_t end) {
  const bool skips_columns = SkipsColumns(args.x);
  for (int64_t block = begin; block < end; ++block) {
    if (!skips_columns) {
      MultiplyColumnBlock<kType>(args, block);
      continue;
    }
    for (int64_t i = 0; i < args.x.num_rows; ++i) {
      MultiplyColumnBlockSkipping<kType>(args, block, i);
    }
  }
}

// KernelTable::quantized_matmul, without AMX.
void QuantizedMatMul(const QuantizedMatMulArgs& args, int64_t begin,
                     int64_t end) {
  const bool is_int8 = args.w.type == QuantType::kInt8;
  if (args.w.order == QuantOrder::kRowPanels) {
    MultiplyRowPanels(args, begin, end);
  } else if (is_int8) {
    MultiplyColumnBlocks<QuantType::kInt8>(args, begin, end);
  } else {
    MultiplyColumnBlocks<QuantType::kInt4>(args, begin, end);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
