// SPDX-License-Identifier: Apache-2.0
// The micro-kernel for weights of GGML's block types: panels that have been
// unpacked to bytes and f32 scales, times some rows of x, with all sums in
// registers.

#if defined(RWKVD_CORE_KERNELS_GGML_MICRO_KERNEL_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GGML_MICRO_KERNEL_INL_H_
#undef RWKVD_CORE_KERNELS_GGML_MICRO_KERNEL_INL_H_
#else
#define RWKVD_CORE_KERNELS_GGML_MICRO_KERNEL_INL_H_
#endif

#include <string.h>

#include "core/kernels/extensions-inl.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// How x is multiplied: as int16, as int8, or as int8 with NarrowDot, by quants
// of at most 4, 5 or 6 bits.
enum class GgmlProduct { kInt16, kInt8, kNarrow4, kNarrow5, kNarrow6 };

// The bits of quants that NarrowDot multiplies; 0 if it does not.
constexpr int NarrowBits(GgmlProduct product) {
  switch (product) {
    case GgmlProduct::kNarrow4:
      return 4;
    case GgmlProduct::kNarrow5:
      return 5;
    case GgmlProduct::kNarrow6:
      return 6;
    default:
      return 0;
  }
}

// Whether the kernel takes x as QuantizedActivations::permuted_int16.
constexpr bool TakesWholeInt16(GgmlProduct product) {
  return Dot::kTakesInt16 && NarrowBits(product) == 0;
}

// Bytes of an unpacked group of a panel. Its quants are bytes, or int16 if the
// kernel takes x so: what is common to all rows of x is then done only once.
constexpr int64_t UnpackedBlockBytes(GgmlProduct product) {
  return (TakesWholeInt16(product) ? 2 : 1) * kInt8BlockBytes;
}

// Some groups of adjacent panels, unpacked.
struct UnpackedPanels {
  // Bytes [panels][groups][16 quads][16 rows][4 columns], or int16 minus the
  // zero [panels][groups][16 quads][2][16 rows][2]: columns 0 and 2, 1 and 3.
  const uint8_t* quants;
  const float* scales;    // [panels][groups][runs of a group][16 rows]
  const float* minimums;  // likewise, or null
  int64_t quants_stride;  // bytes from one panel to the next
  int64_t scales_stride;  // scales or minimums from one panel to the next
};

// Adds the dot products of a quad to the sums of kPanels panels with kX rows of
// x, with the dot product type D. If kIsFirst, sets the sums to them.
template <class D, bool kIsFirst, int kPanels, int kX, class T>
HWY_INLINE void AddUnpackedQuad(const uint8_t* p, int64_t quants_stride,
                                const T* x,
                                VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  typename D::W w[kV] = {};
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    w[v] = D::Prepared(LoadBytes(p + v / kPanelVectors * quants_stride +
                                 v % kPanelVectors * kVectorBytes));
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    const auto four = D::FourColumns(x + i * kGroupCols);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      if constexpr (kIsFirst) {
        sums[v][i] = KeepOrder(D::First(w[v], four));
      } else {
        sums[v][i] = D::Add(sums[v][i], w[v], four);
      }
    }
  }
}

// Adds the dot products of kCols columns.
template <class D, int64_t kCols, int kPanels, int kX, class T>
HWY_INLINE void AddUnpackedQuads(const uint8_t* p, int64_t quants_stride,
                                 const T* x,
                                 VI (&sums)[kPanels * kPanelVectors][kX]) {
  // Unrolled, the compiler would run through x once for each vector of weights.
  HWY_UNROLL(1)
  for (int64_t c = 0; c < kCols; c += kQuadCols, p += kQuadBytes) {
    AddUnpackedQuad<D, false, kPanels, kX>(p, quants_stride, x + c, sums);
  }
}

// Does the same for weights that were unpacked to int16.
template <int64_t kCols, int kPanels, int kX>
HWY_INLINE void AddUnpackedPairs(const uint8_t* p, int64_t quants_stride,
                                 const int16_t* x,
                                 VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  HWY_UNROLL(1)
  for (int64_t c = 0; c < kCols; c += 2, p += kQuadBytes) {
    VI w[kV] = {};
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      w[v] = LoadBytes(p + v / kPanelVectors * quants_stride +
                       v % kPanelVectors * kVectorBytes);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VI two = BroadcastFourBytes(x + i * kGroupCols + c);
      VI more[kV] = {};
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) more[v] = Int16Dot::SumOfTwo(w[v], two);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) AddInPlace(more[v], sums[v][i]);
    }
  }
}

// Sets sums to zero.
template <int kV, int kX>
HWY_INLINE void ClearSums(VI (&sums)[kV][kX]) {
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) sums[v][i] = hn::Zero(kI);
  }
}

// Sets sums to the runs' offsets, added to 256 times the previous values if
// kAfterHigh.
template <int kV, int kX, bool kAfterHigh>
HWY_INLINE void StartSums(const int32_t* offsets, int64_t stride,
                          VI (&sums)[kV][kX]) {
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    const VI offset = hn::Set(kI, offsets[i * stride]);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      if constexpr (kAfterHigh) {
        sums[v][i] = hn::Add(hn::ShiftLeft<8>(sums[v][i]), offset);
      } else {
        sums[v][i] = offset;
      }
    }
  }
}

#ifdef RWKVD_DOT_NARROW
// Computes the sums of a run with D, a NarrowDot.
template <class D, int64_t kCols, int kPanels, int kX>
HWY_INLINE void SumRunOfNarrow(const uint8_t* p, int64_t quants_stride,
                               const int8_t* x, const int32_t* offsets,
                               int64_t stride,
                               VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kPartCols = HWY_MIN(kCols, D::kCols);
  HWY_UNROLL(2)
  for (int64_t c = 0; c < kCols; c += kPartCols) {
    const uint8_t* const part = p + c / kQuadCols * kQuadBytes;
    VI some[kV][kX];
    AddUnpackedQuad<D, true, kPanels, kX>(part, quants_stride, x + c, some);
    AddUnpackedQuads<D, kPartCols - kQuadCols, kPanels, kX>(
        part + kQuadBytes, quants_stride, x + c + kQuadCols, some);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VI offset = hn::Set(kI, offsets[i * stride]);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) {
        sums[v][i] =
            hn::Add(D::SumOfHalves(some[v][i]), c == 0 ? offset : sums[v][i]);
      }
    }
  }
}
#endif

// Computes the sums of the run of kCols columns from column `first` of a group
// on, whose quads are at `p`. `at` is QuantizedActivations::Index of the first
// row of x.
template <GgmlProduct kProduct, int64_t kCols, int kPanels, int kX>
HWY_INLINE void SumRun(const uint8_t* p, int64_t quants_stride,
                       const QuantizedActivations& x, int64_t at, int64_t first,
                       VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kRuns = kGroupCols / kCols;
  const int32_t* const offsets = x.ggml.offsets + at * kRuns + first / kCols;
  const int64_t col = at * kGroupCols + first;
#ifdef RWKVD_DOT_NARROW
  if constexpr (NarrowBits(kProduct) != 0) {
    return SumRunOfNarrow<NarrowDot<NarrowBits(kProduct)>, kCols, kPanels, kX>(
        p, quants_stride, x.high + col, offsets, kRuns, sums);
  }
#endif
  if constexpr (TakesWholeInt16(kProduct)) {
    ClearSums(sums);
    AddUnpackedPairs<kCols, kPanels, kX>(p, quants_stride,
                                         x.permuted_int16 + col, sums);
  } else if constexpr (kProduct == GgmlProduct::kInt16) {
    ClearSums(sums);
    AddUnpackedQuads<Dot, kCols, kPanels, kX>(p, quants_stride, x.high + col,
                                              sums);
    StartSums<kV, kX, true>(offsets, kRuns, sums);
    AddUnpackedQuads<Dot, kCols, kPanels, kX>(p, quants_stride, x.low + col,
                                              sums);
  } else {
    StartSums<kV, kX, false>(offsets, kRuns, sums);
    AddUnpackedQuads<Dot, kCols, kPanels, kX>(p, quants_stride, x.high + col,
                                              sums);
  }
}

// Adds the sums of a run times their scales to `totals`, then the minimums
// times the scaled sums of x, if the type has minimums. `scales` and `minimums`
// are those of the run.
template <int64_t kCols, int kPanels, int kX>
HWY_INLINE void AddRun(const float* scales, const float* minimums,
                       int64_t scales_stride, const QuantizedActivations& x,
                       int64_t at, int64_t run,
                       const VI (&sums)[kPanels * kPanelVectors][kX],
                       VF (&totals)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kRuns = kGroupCols / kCols;
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    const VF scale = hn::Load(kF, scales + v / kPanelVectors * scales_stride +
                                      v % kPanelVectors * kLanes);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF both = hn::Mul(scale, hn::Set(kF, x.scales[at + i]));
      totals[v][i] =
          hn::MulAdd(hn::ConvertTo(kF, sums[v][i]), both, totals[v][i]);
    }
  }
  if (minimums == nullptr) return;
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    const VF minimum =
        hn::Load(kF, minimums + v / kPanelVectors * scales_stride +
                         v % kPanelVectors * kLanes);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const float sum = x.ggml.scaled[(at + i) * kRuns + run];
      totals[v][i] = hn::MulAdd(minimum, hn::Set(kF, sum), totals[v][i]);
    }
  }
}

// Prefetches the group at QuantizedActivations::Index `at` of kX rows of x. The
// hardware prefetcher does not follow rows from one group to the next.
template <GgmlProduct kProduct, int kX>
HWY_INLINE void PrefetchX(const QuantizedActivations& x, int64_t at) {
  constexpr bool kInParts =
      kProduct == GgmlProduct::kInt16 && !TakesWholeInt16(kProduct);
  HWY_UNROLL(8)
  for (int64_t i = 0; i < kX; ++i) {
    const int64_t element = (at + i) * kGroupCols;
    if constexpr (TakesWholeInt16(kProduct)) {
      __builtin_prefetch(x.permuted_int16 + element);
      __builtin_prefetch(x.permuted_int16 + element + kGroupCols / 2);
    } else {
      __builtin_prefetch(x.high + element);
      if constexpr (kInParts) __builtin_prefetch(x.low + element);
    }
  }
}

// Multiplies kPanels unpacked panels by the first kX rows of the slice. Adds to
// y, unless `is_first`.
template <GgmlProduct kProduct, int64_t kCols, int kPanels, int kX>
HWY_INLINE void GgmlMicroKernel(const UnpackedPanels& w,
                                const ActivationSlice& slice, bool is_first,
                                float* y, int64_t y_stride) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kRuns = kGroupCols / kCols;
  const QuantizedActivations& x = *slice.x;
  VF totals[kV][kX];
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      totals[v][i] = is_first ? hn::Zero(kF)
                              : hn::LoadU(kF, y + i * y_stride + v * kLanes);
    }
  }
  for (int64_t g = 0; g < slice.num_groups; ++g) {
    const int64_t at = x.Index(slice.first_row, slice.first_group + g);
    PrefetchX<kProduct, kX>(x, at + kX);
    for (int64_t run = 0; run < kRuns; ++run) {
      VI sums[kV][kX];
      SumRun<kProduct, kCols, kPanels, kX>(
          w.quants + (g * kRuns + run) * UnpackedBlockBytes(kProduct) / kRuns,
          w.quants_stride, x, at, run * kCols, sums);
      const int64_t scales = (g * kRuns + run) * kPanelRows;
      AddRun<kCols, kPanels, kX>(
          w.scales + scales,
          w.minimums == nullptr ? nullptr : w.minimums + scales,
          w.scales_stride, x, at, run, sums, totals);
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
template <GgmlProduct kProduct, int64_t kCols, int kPanels, int kX>
HWY_INLINE void GgmlMicroKernelForRows(const UnpackedPanels& w,
                                       const ActivationSlice& slice,
                                       bool is_first, int64_t rows, float* y,
                                       int64_t y_stride) {
  constexpr int64_t kRows = kPanels * kPanelRows;
  const bool is_whole = rows >= kRows;
  HWY_ALIGN float buffer[kX * kRows];
  for (int i = 0; i < kX && !is_whole && !is_first; ++i) {
    memcpy(buffer + i * kRows, y + i * y_stride, rows * sizeof(float));
  }
  GgmlMicroKernel<kProduct, kCols, kPanels, kX>(
      w, slice, is_first, is_whole ? y : buffer, is_whole ? y_stride : kRows);
  for (int i = 0; i < kX && !is_whole; ++i) {
    memcpy(y + i * y_stride, buffer + i * kRows, rows * sizeof(float));
  }
}

// Multiplies kPanels panels by all rows of the slice: kX rows of x at a time,
// then the rest with smaller micro-kernels.
template <GgmlProduct kProduct, int64_t kCols, int kPanels, int kX>
HWY_INLINE void UnpackedTimesRemainingX(const UnpackedPanels& w,
                                        ActivationSlice slice, bool is_first,
                                        int64_t rows, float* y,
                                        int64_t y_stride) {
  for (; IsNextXRows<kX>(slice.end_row - slice.first_row);
       slice.first_row += kX) {
    GgmlMicroKernelForRows<kProduct, kCols, kPanels, kX>(
        w, slice, is_first, rows, y + slice.first_row * y_stride, y_stride);
  }
  if constexpr (kX > 1) {
    UnpackedTimesRemainingX<kProduct, kCols, kPanels, kX - 1>(
        w, slice, is_first, rows, y, y_stride);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
