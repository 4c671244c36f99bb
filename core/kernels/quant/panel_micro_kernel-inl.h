// SPDX-License-Identifier: Apache-2.0
// The micro-kernel of row panels: some panels times some rows of x, with all
// sums in registers.

#if defined(RWKVD_CORE_KERNELS_QUANT_PANEL_MICRO_KERNEL_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_PANEL_MICRO_KERNEL_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_PANEL_MICRO_KERNEL_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_PANEL_MICRO_KERNEL_INL_H_
#endif

#include <string.h>

#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// Adds the dot products of kCols columns to the sums of kPanels panels with kX
// rows of x, with the dot product type D. The weights are at `p`, x at `x`.
// With kPrefetch, prefetches the weights.
template <class D, QuantType kType, int64_t kCols, int kPanels, int kX,
          bool kPrefetch, class T>
HWY_INLINE void AddQuads(const uint8_t* p, int64_t quants_stride, const T* x,
                         int64_t x_stride,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kPairBytes =
      kType == QuantType::kInt8 ? 2 * kQuadBytes : kQuadBytes;
  const auto add = [&](const typename D::W(&w)[kV], const T* columns) HWY_ATTR {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const auto four = D::FourColumns(columns + i * x_stride);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) sums[v][i] = D::Add(sums[v][i], w[v], four);
    }
  };
  for (int64_t c = 0; c < kCols; c += 2 * kQuadCols, p += kPairBytes) {
    // The first of two quads; int4: both quads.
    VI loaded[kV] = {};
    typename D::W w[kV] = {};
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      const uint8_t* bytes = p + v / kPanelVectors * quants_stride +
                             v % kPanelVectors * kVectorBytes;
      if constexpr (kPrefetch) {
        for (int64_t at = 0; at < kPairBytes && v % kPanelVectors == 0;
             at += 64) {
          __builtin_prefetch(bytes + Tiling::kPrefetchBytes + at, 0, 2);
        }
      }
      loaded[v] = LoadBytes(bytes);
      if constexpr (kType == QuantType::kInt8) {
        w[v] = D::Weights(loaded[v]);
      } else {
        w[v] = LowWeights<D>(loaded[v]);
      }
    }
    add(w, x + c);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      if constexpr (kType == QuantType::kInt8) {
        w[v] = D::Weights(LoadBytes(p + v / kPanelVectors * quants_stride +
                                    v % kPanelVectors * kVectorBytes +
                                    kQuadBytes));
      } else {
        w[v] = HighWeights<D>(loaded[v]);
      }
    }
    add(w, x + c + kQuadCols);
  }
}

// Adds the dot products of a block with the dot product type for all weights.
template <QuantType kType, int kPanels, int kX, bool kPrefetch, class T>
HWY_INLINE void AddBlock(const uint8_t* p, int64_t quants_stride, const T* x,
                         int64_t x_stride,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  AddQuads<Dot, kType, kGroupCols, kPanels, kX, kPrefetch>(p, quants_stride, x,
                                                           x_stride, sums);
}

#ifdef RWKVD_DOT_NARROW
// Computes the sums of a block of int4 weights with NarrowDot.
template <int kPanels, int kX, bool kPrefetch>
HWY_INLINE void SumBlockOfNibbles(const uint8_t* p, int64_t quants_stride,
                                  const int8_t* x, const int32_t* offsets,
                                  VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  using D = NarrowDot<4>;
  constexpr int64_t kCols = D::kCols;
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) sums[v][i] = hn::Zero(kI);
  }
  for (int64_t c = 0; c < kGroupCols; c += kCols) {
    VI some[kV][kX];
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) some[v][i] = hn::Zero(kI);
    }
    AddQuads<D, QuantType::kInt4, kCols, kPanels, kX, kPrefetch>(
        p + c * kPanelRows / 2, quants_stride, x + c, kGroupCols, some);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) {
        sums[v][i] = hn::Add(sums[v][i], D::SumOfHalves(some[v][i]));
      }
    }
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    const VI offset = hn::Set(kI, offsets[i]);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      sums[v][i] = hn::Add(hn::ShiftLeft<4>(sums[v][i]), offset);
    }
  }
}
#endif

// Computes the sums of a block with one row of int16 activations, whose high
// and low parts are multiplied like two rows of x: each weight is read once.
template <QuantType kType, int kPanels, bool kPrefetch>
HWY_INLINE void SumBlockForOneX(const uint8_t* p, int64_t quants_stride,
                                const int8_t* high, const int8_t* low,
                                int32_t offset,
                                VI (&sums)[kPanels * kPanelVectors][1]) {
  constexpr int kV = kPanels * kPanelVectors;
  const int64_t x_stride =
      reinterpret_cast<intptr_t>(low) - reinterpret_cast<intptr_t>(high);
  VI parts[kV][2] = {};
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    parts[v][0] = hn::Zero(kI);
    parts[v][1] = Dot::InitialSum(offset);
  }
  AddBlock<kType, kPanels, 2, kPrefetch>(p, quants_stride, high, x_stride,
                                         parts);
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    sums[v][0] = hn::Add(hn::ShiftLeft<8>(parts[v][0]), parts[v][1]);
  }
}

// Computes the sums of a block with kX rows of int8 or int16 activations; of
// the latter, the high parts first. `at` is QuantizedActivations::Index of the
// first row of x.
template <QuantType kType, int kPanels, int kX, bool kInt16, bool kPrefetch>
HWY_INLINE void SumBlock(const uint8_t* p, int64_t quants_stride,
                         const QuantizedActivations& x, int64_t at,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr bool kWholeInt16 = Dot::kTakesInt16 && kType == QuantType::kInt8;
  constexpr bool kInParts = kInt16 && !kWholeInt16;
#ifdef RWKVD_DOT_NARROW
  if constexpr (kType == QuantType::kInt4) {
    return SumBlockOfNibbles<kPanels, kX, kPrefetch>(
        p, quants_stride, x.high + at * kGroupCols, x.offsets + at, sums);
  }
#endif
  if constexpr (kInParts && kX == 1) {
    return SumBlockForOneX<kType, kPanels, kPrefetch>(
        p, quants_stride, x.high + at * kGroupCols, x.low + at * kGroupCols,
        x.offsets[at], sums);
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    const VI offset = Dot::InitialSum(x.offsets[at + i]);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) sums[v][i] = kInParts ? hn::Zero(kI) : offset;
  }
  if constexpr (kWholeInt16) {
    AddBlock<kType, kPanels, kX, kPrefetch>(
        p, quants_stride, x.permuted_int16 + at * kGroupCols, kGroupCols, sums);
  } else {
    AddBlock<kType, kPanels, kX, kPrefetch>(
        p, quants_stride, x.high + at * kGroupCols, kGroupCols, sums);
  }
  if constexpr (kInParts) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VI offset = Dot::InitialSum(x.offsets[at + i]);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) {
        sums[v][i] = hn::Add(hn::ShiftLeft<8>(sums[v][i]), offset);
      }
    }
    AddBlock<kType, kPanels, kX, false>(
        p, quants_stride, x.low + at * kGroupCols, kGroupCols, sums);
  }
}

// Multiplies kPanels panels by the first kX rows of the slice, with all sums in
// registers. Adds to y, unless `is_first`.
template <QuantType kType, int kPanels, int kX, bool kInt16, bool kPrefetch>
HWY_INLINE void PanelMicroKernel(const Panels& w, const ActivationSlice& cols,
                                 bool is_first, float* y, int64_t y_stride) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kBytes = BlockBytes(kType);
  const QuantizedActivations& x = *cols.x;

  VF totals[kV][kX];
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      totals[v][i] = is_first ? hn::Zero(kF)
                              : hn::LoadU(kF, y + i * y_stride + v * kLanes);
    }
  }
  for (int64_t g = 0; g < cols.num_groups; ++g) {
    const int64_t at = x.Index(cols.first_row, cols.first_group + g);
    VI sums[kV][kX];
    SumBlock<kType, kPanels, kX, kInt16, kPrefetch>(
        w.quants + g * kBytes, w.quants_stride, x, at, sums);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      const VF scale = LoadScales(w.scales + g * w.scales_group_stride +
                                  v / kPanelVectors * w.scales_stride +
                                  v % kPanelVectors * kLanes);
      HWY_UNROLL(8)
      for (int i = 0; i < kX; ++i) {
        const VF both = hn::Mul(scale, hn::Set(kF, x.scales[at + i]));
        totals[v][i] =
            hn::MulAdd(hn::ConvertTo(kF, sums[v][i]), both, totals[v][i]);
      }
    }
  }
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      hn::StoreU(totals[v][i], kF, y + i * y_stride + v * kLanes);
    }
  }
}

// Does the same where only `rows` rows of the panels exist: through a buffer if
// that is fewer than all.
template <QuantType kType, int kPanels, int kX, bool kInt16, bool kPrefetch>
HWY_INLINE void PanelMicroKernelForRows(const Panels& w,
                                        const ActivationSlice& cols,
                                        bool is_first, int64_t rows, float* y,
                                        int64_t y_stride) {
  constexpr int64_t kRows = kPanels * kPanelRows;
  if (rows >= kRows) {
    return PanelMicroKernel<kType, kPanels, kX, kInt16, kPrefetch>(
        w, cols, is_first, y, y_stride);
  }
  HWY_ALIGN float buffer[kX * kRows] = {};
  for (int i = 0; i < kX && !is_first; ++i) {
    memcpy(buffer + i * kRows, y + i * y_stride, rows * sizeof(float));
  }
  PanelMicroKernel<kType, kPanels, kX, kInt16, kPrefetch>(w, cols, is_first,
                                                          buffer, kRows);
  for (int i = 0; i < kX; ++i) {
    memcpy(y + i * y_stride, buffer + i * kRows, rows * sizeof(float));
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
