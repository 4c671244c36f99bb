// SPDX-License-Identifier: Apache-2.0
// Matmul with packed weights of GGML's block types: one row of x is multiplied
// by the weights as they are stored; for more, some columns of a few panels at
// a time are unpacked first.

#if defined(RWKVD_CORE_KERNELS_GGML_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GGML_PANELS_INL_H_
#undef RWKVD_CORE_KERNELS_GGML_PANELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_GGML_PANELS_INL_H_
#endif

#include <string.h>

#include "core/base/dtype.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/ggml/layout.h"
#include "core/kernels/ggml/matmul_args.h"
#include "core/kernels/ggml/micro_kernel-inl.h"
#include "core/kernels/ggml/unpack-inl.h"
#include "core/kernels/quant/activations-inl.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/row_panels-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// ---- One row of x.

// Adds the dot products of a packed quad with four columns of x, with the dot
// product type D.
template <class D, DType kType, int kQuad, class T>
HWY_INLINE void AddPackedQuad(const uint8_t* group, const T* x,
                              VI (&sums)[kPanelVectors]) {
  const auto four = D::FourColumns(x + kQuad * kQuadCols);
  HWY_UNROLL(4)
  for (int v = 0; v < kPanelVectors; ++v) {
    sums[v] =
        D::Add(sums[v], D::Prepared(GgmlQuad<kType, kQuad>(group, v)), four);
  }
}

// Computes the sums of the run whose first quad is number kQuad of the group at
// `group`, for the row of x at QuantizedActivations::Index `at`.
template <GgmlProduct kProduct, DType kType, int kQuad>
HWY_INLINE void SumPackedRun(const uint8_t* group,
                             const QuantizedActivations& x, int64_t at,
                             VI (&sums)[kPanelVectors]) {
  constexpr int64_t kCols = GgmlLayoutOf(kType).scale_cols;
  constexpr int kEnd = kQuad + kCols / kQuadCols;
  const int64_t run = at * (kGroupCols / kCols) + kQuad * kQuadCols / kCols;
  const VI offset = hn::Set(kI, x.ggml.offsets[run]);
  const int64_t col = at * kGroupCols;
  for (VI& sum : sums) sum = offset;
#ifdef RWKVD_DOT_NARROW
  if constexpr (NarrowBits(kProduct) != 0) {
    using D = NarrowDot<NarrowBits(kProduct)>;
    constexpr int kPartQuads = HWY_MIN(kCols, D::kCols) / kQuadCols;
    ForEachConstant<0, (kEnd - kQuad) / kPartQuads>([&](auto part) HWY_ATTR {
      constexpr int kFirst = kQuad + part.value * kPartQuads;
      VI some[kPanelVectors];
      for (VI& sum : some) sum = hn::Zero(kI);
      ForEachConstant<kFirst, kFirst + kPartQuads>([&](auto quad) HWY_ATTR {
        AddPackedQuad<D, kType, quad.value>(group, x.high + col, some);
      });
      HWY_UNROLL(4)
      for (int v = 0; v < kPanelVectors; ++v) {
        sums[v] = hn::Add(sums[v], D::SumOfHalves(some[v]));
      }
    });
    return;
  }
#endif
  if constexpr (TakesWholeInt16(kProduct)) {
    ForEachConstant<kQuad, kEnd>([&](auto quad) HWY_ATTR {
      AddPackedQuad<Dot, kType, quad.value>(group, x.permuted_int16 + col,
                                            sums);
    });
  } else if constexpr (kProduct == GgmlProduct::kInt16) {
    VI high[kPanelVectors];
    for (VI& sum : high) sum = hn::Zero(kI);
    ForEachConstant<kQuad, kEnd>([&](auto quad) HWY_ATTR {
      AddPackedQuad<Dot, kType, quad.value>(group, x.high + col, high);
      AddPackedQuad<Dot, kType, quad.value>(group, x.low + col, sums);
    });
    HWY_UNROLL(4)
    for (int v = 0; v < kPanelVectors; ++v) {
      sums[v] = hn::Add(hn::ShiftLeft<8>(high[v]), sums[v]);
    }
  } else {
    ForEachConstant<kQuad, kEnd>([&](auto quad) HWY_ATTR {
      AddPackedQuad<Dot, kType, quad.value>(group, x.high + col, sums);
    });
  }
}

// Adds group number `index` of a span to `totals`.
template <GgmlProduct kProduct, DType kType>
HWY_INLINE void AddPackedGroup(const uint8_t* span, int64_t index,
                               const QuantizedActivations& x, int64_t at,
                               VF (&totals)[kPanelVectors]) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  constexpr int kRuns = kGroupCols / kLayout.scale_cols;
  const uint8_t* const group =
      span + GgmlHeaderBytes(kType) + index * GgmlGroupBytes(kType);
  ForEachConstant<0, kRuns>([&](auto run) HWY_ATTR {
    VI sums[kPanelVectors] = {};
    SumPackedRun<kProduct, kType, run.value * kLayout.scale_cols / kQuadCols>(
        group, x, at, sums);
    HWY_UNROLL(4)
    for (int v = 0; v < kPanelVectors; ++v) {
      const int64_t in_span = index * kRuns + run.value;
      const VF both = hn::Mul(GgmlScale<kType>(span, in_span, v),
                              hn::Set(kF, x.scales[at]));
      totals[v] = hn::MulAdd(hn::ConvertTo(kF, sums[v]), both, totals[v]);
      if constexpr (kLayout.has_minimums) {
        const float sum = x.ggml.scaled[at * kRuns + run.value];
        totals[v] = hn::MulAdd(GgmlMinimum<kType>(span, in_span, v),
                               hn::Set(kF, sum), totals[v]);
      }
    }
  });
}

// Prefetches what group number `index` of a span adds to reading a panel, from
// the distance ahead on.
template <DType kType>
HWY_INLINE void PrefetchGroup(const uint8_t* span, int64_t index) {
  constexpr int64_t kShare =
      GgmlSpanBytes(kType) / (GgmlSpanCols(kType) / kGroupCols);
  const uint8_t* const ahead = span + index * kShare + Tiling::kPrefetchBytes;
  for (int64_t at = 0; at < kShare; at += Tiling::kCacheLineBytes) {
    __builtin_prefetch(ahead + at, 0, 2);
  }
}

// Panels [begin, end) times one row of x.
template <GgmlProduct kProduct, DType kType>
HWY_NOINLINE void MultiplyPackedPanels(const GgmlMatMulArgs& args,
                                       int64_t begin, int64_t end) {
  constexpr int64_t kSpanGroups = GgmlSpanCols(kType) / kGroupCols;
  const int64_t spans = args.w.cols / GgmlSpanCols(kType);
  const uint8_t* span =
      args.w.panels + begin * GgmlPanelBytes(kType, args.w.cols);
  for (int64_t panel = begin; panel < end; ++panel) {
    VF totals[kPanelVectors];
    for (VF& total : totals) total = hn::Zero(kF);
    for (int64_t s = 0; s < spans; ++s, span += GgmlSpanBytes(kType)) {
      for (int64_t g = 0; g < kSpanGroups; ++g) {
        PrefetchGroup<kType>(span, g);
        AddPackedGroup<kProduct, kType>(
            span, g, args.x, args.x.Index(0, s * kSpanGroups + g), totals);
      }
    }
    HWY_ALIGN float y[kPanelRows];
    for (int v = 0; v < kPanelVectors; ++v) {
      hn::Store(totals[v], kF, y + v * kLanes);
    }
    const int64_t first = panel * kPanelRows;
    memcpy(args.y + first, y,
           HWY_MIN(args.w.rows - first, kPanelRows) * sizeof(float));
  }
}

// ---- Many rows of x.

constexpr int64_t kGgmlGroups = Tiling::kGgmlUnpackedGroups;
constexpr int64_t kMaxGgmlRuns = kGgmlGroups * kGroupRuns;

// The rows of x that a micro-kernel multiplies.
template <GgmlProduct kProduct>
constexpr int kGgmlMicroX = TakesWholeInt16(kProduct) ||
                                    NarrowBits(kProduct) != 0
                                ? Tiling::GgmlXRows(kLanes, HWY_ARCH_ARM_A64)
                                : kMicroX;

// How weights of a type are multiplied by int8 activations.
constexpr GgmlProduct Int8ProductOf(DType type) {
#ifdef RWKVD_DOT_NARROW
  if (HasNarrowQuants(type)) {
    const int bits = GgmlLayoutOf(type).bits;
    if (bits == 6) return GgmlProduct::kNarrow6;
    return bits == 5 ? GgmlProduct::kNarrow5 : GgmlProduct::kNarrow4;
  }
#endif
  (void)type;
  return GgmlProduct::kInt8;
}

// Memory for unpacked panels.
template <GgmlProduct kProduct>
struct alignas(64) UnpackedScratch {
  uint8_t quants[kMicroPanels][kGgmlGroups * UnpackedBlockBytes(kProduct)];
  float scales[kMicroPanels][kMaxGgmlRuns * kPanelRows];
  float minimums[kMicroPanels][kMaxGgmlRuns * kPanelRows];
};

// Stores vector `v` of quad number `quad` of a group, as UnpackedPanels says.
template <GgmlProduct kProduct, DType kType>
HWY_INLINE void StoreUnpacked(VI bytes, int quad, int v, uint8_t* quants) {
  uint8_t* const to =
      quants + quad * UnpackedBlockBytes(kProduct) / (kGroupCols / kQuadCols) +
      v * kVectorBytes;
  if constexpr (TakesWholeInt16(kProduct)) {
    const Int16Dot::W w = Int16Dot::Prepared(bytes);
    const auto zero = hn::Set(kI16, GgmlLayoutOf(kType).zero);
    StoreBytes(hn::BitCast(kI, hn::Sub(w.even, zero)), to);
    StoreBytes(hn::BitCast(kI, hn::Sub(w.odd, zero)), to + kQuadBytes);
  } else {
    StoreBytes(bytes, to);
  }
}

// Unpacks group number `index` of a span.
template <GgmlProduct kProduct, DType kType>
HWY_INLINE void UnpackGroup(const uint8_t* span, int64_t index, uint8_t* quants,
                            float* scales, float* minimums) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  constexpr int kRuns = kGroupCols / kLayout.scale_cols;
  const uint8_t* const group =
      span + GgmlHeaderBytes(kType) + index * GgmlGroupBytes(kType);
  ForEachConstant<0, kPanelVectors>([&](auto v) HWY_ATTR {
    ForEachConstant<0, kGroupCols / kQuadCols>([&](auto quad) HWY_ATTR {
      StoreUnpacked<kProduct, kType>(
          GgmlQuad<kType, quad.value>(group, v.value), quad.value, v.value,
          quants);
    });
    for (int64_t run = 0; run < kRuns; ++run) {
      const int64_t in_span = index * kRuns + run;
      const int64_t at = run * kPanelRows + v.value * kLanes;
      hn::Store(GgmlScale<kType>(span, in_span, v.value), kF, scales + at);
      if constexpr (kLayout.has_minimums) {
        hn::Store(GgmlMinimum<kType>(span, in_span, v.value), kF,
                  minimums + at);
      }
    }
  });
}

// Unpacks `num` groups of a panel from group `first` on.
template <GgmlProduct kProduct, DType kType>
HWY_NOINLINE void UnpackGroups(const uint8_t* panel, int64_t first, int64_t num,
                               uint8_t* quants, float* scales,
                               float* minimums) {
  constexpr int64_t kSpanGroups = GgmlSpanCols(kType) / kGroupCols;
  constexpr int64_t kScales =
      kGroupCols / GgmlLayoutOf(kType).scale_cols * kPanelRows;
  for (int64_t g = 0; g < num; ++g) {
    const uint8_t* const span =
        panel + (first + g) / kSpanGroups * GgmlSpanBytes(kType);
    PrefetchGroup<kType>(span, (first + g) % kSpanGroups);
    UnpackGroup<kProduct, kType>(span, (first + g) % kSpanGroups,
                                 quants + g * UnpackedBlockBytes(kProduct),
                                 scales + g * kScales, minimums + g * kScales);
  }
}

// Multiplies `num` unpacked panels, 1 or kMicroPanels, by the slice's rows.
template <GgmlProduct kProduct, int64_t kCols>
HWY_NOINLINE void MultiplyUnpacked(const UnpackedPanels& w, int64_t num,
                                   const ActivationSlice& slice, bool is_first,
                                   int64_t rows, float* y, int64_t y_stride) {
  if (num == kMicroPanels) {
    UnpackedTimesRemainingX<kProduct, kCols, kMicroPanels,
                            kGgmlMicroX<kProduct>>(w, slice, is_first, rows, y,
                                                   y_stride);
  } else {
    UnpackedTimesRemainingX<kProduct, kCols, 1, kGgmlMicroX<kProduct>>(
        w, slice, is_first, rows, y, y_stride);
  }
}

// Multiplies panels [panel, panel + num) by all rows of x.
template <GgmlProduct kProduct, DType kType>
HWY_INLINE void MultiplyByUnpacking(const GgmlMatMulArgs& args, int64_t panel,
                                    int64_t num,
                                    UnpackedScratch<kProduct>& scratch) {
  constexpr GgmlLayout kLayout = GgmlLayoutOf(kType);
  const int64_t bytes = GgmlPanelBytes(kType, args.w.cols);
  const int64_t groups = args.x.groups();
  const int64_t row = panel * kPanelRows;
  for (int64_t g = 0; g < groups; g += kGgmlGroups) {
    const int64_t some = HWY_MIN(groups - g, kGgmlGroups);
    for (int64_t i = 0; i < num; ++i) {
      UnpackGroups<kProduct, kType>(args.w.panels + (panel + i) * bytes, g,
                                    some, scratch.quants[i], scratch.scales[i],
                                    scratch.minimums[i]);
    }
    const UnpackedPanels unpacked = {
        .quants = scratch.quants[0],
        .scales = scratch.scales[0],
        .minimums = kLayout.has_minimums ? scratch.minimums[0] : nullptr,
        .quants_stride = sizeof(scratch.quants[0]),
        .scales_stride = kMaxGgmlRuns * kPanelRows};
    MultiplyUnpacked<kProduct, kLayout.scale_cols>(
        unpacked, num, {&args.x, g, some, 0, args.x.num_rows}, g == 0,
        args.w.rows - row, args.y + row, args.y_stride);
  }
}

// Panels [begin, end) times all rows of x.
template <GgmlProduct kProduct, DType kType>
void MultiplyGgmlPanels(const GgmlMatMulArgs& args, int64_t begin,
                        int64_t end) {
  if (args.x.num_rows == 1) {
    return MultiplyPackedPanels<kProduct, kType>(args, begin, end);
  }
  UnpackedScratch<kProduct> scratch;
  for (int64_t panel = begin; panel < end;) {
    const int64_t num = end - panel >= kMicroPanels ? kMicroPanels : 1;
    MultiplyByUnpacking<kProduct, kType>(args, panel, num, scratch);
    panel += num;
  }
}

// Panels [begin, end) times all rows of x, with int8 or int16 activations.
template <DType kType>
void MultiplyGgmlPanels(const GgmlMatMulArgs& args, int64_t begin,
                        int64_t end) {
  if (args.x.is_int16) {
    MultiplyGgmlPanels<GgmlProduct::kInt16, kType>(args, begin, end);
  } else {
    MultiplyGgmlPanels<Int8ProductOf(kType), kType>(args, begin, end);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
