// SPDX-License-Identifier: Apache-2.0
// Quantized matmul with row panels.

#if defined(RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#endif

#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/quant/panel_micro_kernel-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// The largest micro-kernel: panels and rows of x.
constexpr int kMicroPanels = Tiling::QuantPanels(kLanes);
constexpr int kMicroX =
    Tiling::QuantXRows(kLanes, HWY_ARCH_ARM_A64, Dot::kTakesInt16);

// Panels that are multiplied together by a single row of x.
template <QuantType kType>
constexpr int kGemvPanels = Tiling::QuantGemvPanels(kLanes,
                                                    kType == QuantType::kInt8);

// Multiplies kPanels panels by all rows of the slice: kX rows of x at a time,
// then the rest with smaller micro-kernels.
template <QuantType kType, int kPanels, int kX, bool kInt16>
HWY_INLINE void PanelsTimesRemainingX(const Panels& w, ActivationSlice cols,
                                      bool is_first, int64_t rows, float* y,
                                      int64_t y_stride) {
  for (; IsNextXRows<kX>(cols.end_row - cols.first_row); cols.first_row += kX) {
    float* out = y + cols.first_row * y_stride;
    if (cols.first_row == 0) {
      PanelMicroKernelForRows<kType, kPanels, kX, kInt16, true>(
          w, cols, is_first, rows, out, y_stride);
    } else {
      PanelMicroKernelForRows<kType, kPanels, kX, kInt16, false>(
          w, cols, is_first, rows, out, y_stride);
    }
  }
  if constexpr (kX > 1) {
    PanelsTimesRemainingX<kType, kPanels, kX - 1, kInt16>(w, cols, is_first,
                                                          rows, y, y_stride);
  }
}

// Multiplies `num` panels, of which `rows` rows exist, by the slice's rows. `y`
// is at the first of the panels' rows.
template <QuantType kType, bool kInt16>
HWY_NOINLINE void MultiplyPanelsBySlice(Panels w, int64_t num,
                                        const ActivationSlice& cols,
                                        bool is_first, int64_t rows, float* y,
                                        int64_t y_stride) {
  const bool is_one = cols.x->num_rows == 1;
  constexpr int kGemv = kGemvPanels<kType>;
  const int64_t many = is_one ? kGemv : kMicroPanels;
  while (num > 0) {
    const int64_t done = num >= many ? many : 1;
    if (is_one && done == kGemv) {
      PanelMicroKernelForRows<kType, kGemv, 1, kInt16, kGemv == 1>(
          w, cols, is_first, rows, y, y_stride);
    } else if (!is_one && done == kMicroPanels) {
      PanelsTimesRemainingX<kType, kMicroPanels, kMicroX, kInt16>(
          w, cols, is_first, rows, y, y_stride);
    } else {
      PanelsTimesRemainingX<kType, 1, kMicroX, kInt16>(w, cols, is_first, rows,
                                                       y, y_stride);
    }
    num -= done;
    w.quants += done * w.quants_stride;
    w.scales += done * w.scales_stride;
    y += done * kPanelRows;
    rows -= done * kPanelRows;
  }
}

// Does the same for all rows of x, as many at a time as stay in L2.
template <QuantType kType, bool kInt16>
void MultiplyPanels(const Panels& w, int64_t num, ActivationSlice cols,
                    bool is_first, int64_t rows, float* y, int64_t y_stride) {
  constexpr bool kWide =
      kInt16 || (Dot::kTakesInt16 && kType == QuantType::kInt8);
  const int64_t row_bytes = cols.num_groups * kGroupCols * (kWide ? 2 : 1);
  const int64_t some =
      HWY_MAX(Tiling::kQuantXBytes / row_bytes / kMicroX, 1) * kMicroX;
  for (; cols.first_row < cols.x->num_rows; cols.first_row = cols.end_row) {
    cols.end_row = HWY_MIN(cols.first_row + some, cols.x->num_rows);
    MultiplyPanelsBySlice<kType, kInt16>(w, num, cols, is_first, rows, y,
                                         y_stride);
  }
}

// Panels [begin, end) times all rows of x.
template <QuantType kType, bool kInt16>
void MultiplyRowPanelsTyped(const QuantizedMatMulArgs& args, int64_t begin,
                            int64_t end) {
  const QuantizedWeights& w = args.w;
  const int64_t groups = args.x.groups();
  const int64_t bytes = PackedBlockBytes(w.type, w.order, w.cols);
  MultiplyPanels<kType, kInt16>(
      {.quants = w.quants + begin * bytes,
       .quants_stride = bytes,
       .scales = w.scales + begin * groups * kPanelRows,
       .scales_stride = groups * kPanelRows,
       .scales_group_stride = kPanelRows},
      end - begin, {&args.x, 0, groups}, true, w.rows - begin * kPanelRows,
      args.y + begin * kPanelRows, args.y_stride);
}

// Panels [begin, end) times all rows of x, for weights and activations of any
// type.
void MultiplyRowPanels(const QuantizedMatMulArgs& args, int64_t begin,
                       int64_t end) {
  if (args.w.type == QuantType::kInt4) {
    return MultiplyRowPanelsTyped<QuantType::kInt4, false>(args, begin, end);
  }
  if (args.x.is_int16) {
    return MultiplyRowPanelsTyped<QuantType::kInt8, true>(args, begin, end);
  }
  MultiplyRowPanelsTyped<QuantType::kInt8, false>(args, begin, end);
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
