// SPDX-License-Identifier: Apache-2.0
// Products of quantized weights that are stored by rows.

#if defined(RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_ROW_PANELS_INL_H_
#endif

#include <string.h>

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

// Weights of four bits that share bytes, as form D takes them.
template <class D>
HWY_INLINE typename D::W Lower(VI bytes) {
  if constexpr (D::kHalves) {
    return LowerNumbers(bytes);
  } else {
    return D::Weights(LowerHalves(bytes));
  }
}
template <class D>
HWY_INLINE typename D::W Upper(VI bytes) {
  if constexpr (D::kHalves) {
    return UpperNumbers(bytes);
  } else {
    return D::Weights(UpperHalves(bytes));
  }
}

// Adds, to the sums of kPanels * 16 rows with kX rows of x, the products of
// kCols columns, in form D. Weights are at `p`, x at `x`, its rows `x_apart`
// apart. With kFetch, weights are fetched ahead.
template <class D, QuantType kType, int64_t kCols, int kPanels, int kX,
          bool kFetch, class T>
HWY_INLINE void AddUnits(const uint8_t* p, int64_t quants_apart, const T* x,
                         int64_t x_apart,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kPairBytes =
      kType == QuantType::kInt8 ? 2 * kUnitBytes : kUnitBytes;
  const auto add = [&](const typename D::W(&w)[kV], const T* columns) HWY_ATTR {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const auto four = D::Columns(columns + i * x_apart);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) sums[v][i] = D::Add(sums[v][i], w[v], four);
    }
  };
  for (int64_t c = 0; c < kCols; c += 2 * kUnitCols, p += kPairBytes) {
    // Those of the first of two units and, of four bits, of both.
    VI loaded[kV] = {};
    typename D::W w[kV] = {};
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      const uint8_t* bytes = p + v / kPanelVectors * quants_apart +
                             v % kPanelVectors * kVectorBytes;
      if constexpr (kFetch) {
        for (int64_t at = 0; at < kPairBytes && v % kPanelVectors == 0;
             at += 64) {
          __builtin_prefetch(bytes + kBytesAhead + at, 0, 2);
        }
      }
      loaded[v] = LoadBytes(bytes);
      if constexpr (kType == QuantType::kInt8) {
        w[v] = D::Weights(loaded[v]);
      } else {
        w[v] = Lower<D>(loaded[v]);
      }
    }
    add(w, x + c);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      if constexpr (kType == QuantType::kInt8) {
        w[v] = D::Weights(LoadBytes(p + v / kPanelVectors * quants_apart +
                                    v % kPanelVectors * kVectorBytes +
                                    kUnitBytes));
      } else {
        w[v] = Upper<D>(loaded[v]);
      }
    }
    add(w, x + c + kUnitCols);
  }
}

// A group's columns, in the form for all weights.
template <QuantType kType, int kPanels, int kX, bool kFetch, class T>
HWY_INLINE void AddGroup(const uint8_t* p, int64_t quants_apart, const T* x,
                         int64_t x_apart,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  AddUnits<Dot, kType, kGroupCols, kPanels, kX, kFetch>(p, quants_apart, x,
                                                        x_apart, sums);
}

#ifdef RWKVD_DOT_HALVES
// The sums of a group of weights of four bits.
template <int kPanels, int kX, bool kFetch>
HWY_INLINE void SumGroupOfHalves(const uint8_t* p, int64_t quants_apart,
                                 const int8_t* x, const int32_t* offsets,
                                 VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kCols = HalvesDot::kCols;
  for (int64_t c = 0; c < kGroupCols; c += kCols) {
    VI parts[kV][kX];
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) parts[v][i] = hn::Zero(kI);
    }
    AddUnits<HalvesDot, QuantType::kInt4, kCols, kPanels, kX, kFetch>(
        p + c * kPanelRows / 2, quants_apart, x + c, kGroupCols, parts);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) {
        const VI sum = HalvesDot::Both(parts[v][i]);
        sums[v][i] = c == 0 ? sum : hn::Add(sums[v][i], sum);
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

// The sums of a group with one row of x, whose two digits are taken as two
// rows: each weight is read once.
template <QuantType kType, int kPanels, bool kFetch>
HWY_INLINE void SumGroupOfOne(const uint8_t* p, int64_t quants_apart,
                              const int8_t* upper, const int8_t* low,
                              int32_t offset,
                              VI (&sums)[kPanels * kPanelVectors][1]) {
  constexpr int kV = kPanels * kPanelVectors;
  const int64_t apart =
      reinterpret_cast<intptr_t>(low) - reinterpret_cast<intptr_t>(upper);
  VI digits[kV][2] = {};
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    digits[v][0] = hn::Zero(kI);
    digits[v][1] = Dot::First(offset);
  }
  AddGroup<kType, kPanels, 2, kFetch>(p, quants_apart, upper, apart, digits);
  HWY_UNROLL(16)
  for (int v = 0; v < kV; ++v) {
    sums[v][0] = hn::Add(hn::ShiftLeft<8>(digits[v][0]), digits[v][1]);
  }
}

// The sums of a group: of x in one digit, or in two, the upper first. `at` is
// the group's place for the first row of x.
template <QuantType kType, int kPanels, int kX, bool kTwoDigits, bool kFetch>
HWY_INLINE void SumGroup(const uint8_t* p, int64_t quants_apart,
                         const QuantizedActivations& x, int64_t at,
                         VI (&sums)[kPanels * kPanelVectors][kX]) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr bool kPairs = Dot::kPairs && kType == QuantType::kInt8;
  constexpr bool kDigitByDigit = kTwoDigits && !kPairs;
#ifdef RWKVD_DOT_HALVES
  if constexpr (kType == QuantType::kInt4) {
    return SumGroupOfHalves<kPanels, kX, kFetch>(
        p, quants_apart, x.q + at * kGroupCols, x.offsets + at, sums);
  }
#endif
  if constexpr (kDigitByDigit && kX == 1) {
    return SumGroupOfOne<kType, kPanels, kFetch>(
        p, quants_apart, x.q + at * kGroupCols, x.low + at * kGroupCols,
        x.offsets[at], sums);
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    const VI offset = Dot::First(x.offsets[at + i]);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v)
      sums[v][i] = kDigitByDigit ? hn::Zero(kI) : offset;
  }
  if constexpr (kPairs) {
    AddGroup<kType, kPanels, kX, kFetch>(
        p, quants_apart, x.pairs + at * kGroupCols, kGroupCols, sums);
  } else {
    AddGroup<kType, kPanels, kX, kFetch>(p, quants_apart, x.q + at * kGroupCols,
                                         kGroupCols, sums);
  }
  if constexpr (kDigitByDigit) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VI offset = Dot::First(x.offsets[at + i]);
      HWY_UNROLL(16)
      for (int v = 0; v < kV; ++v) {
        sums[v][i] = hn::Add(hn::ShiftLeft<8>(sums[v][i]), offset);
      }
    }
    AddGroup<kType, kPanels, kX, false>(
        p, quants_apart, x.low + at * kGroupCols, kGroupCols, sums);
  }
}

// kPanels * 16 rows of the product for kX rows of x. Adds to what is in y,
// unless `is_first`.
template <QuantType kType, int kPanels, int kX, bool kTwoDigits, bool kFetch>
HWY_INLINE void PanelTile(const Panels& w, const Columns& cols, bool is_first,
                          float* y, int64_t y_stride) {
  constexpr int kV = kPanels * kPanelVectors;
  constexpr int64_t kGroupBytes = GroupBytes(kType);
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
    const int64_t at = x.At(cols.first_row, cols.first_group + g);
    VI sums[kV][kX];
    SumGroup<kType, kPanels, kX, kTwoDigits, kFetch>(
        w.quants + g * kGroupBytes, w.quants_apart, x, at, sums);
    HWY_UNROLL(16)
    for (int v = 0; v < kV; ++v) {
      const VF scale = LoadScales(w.scales + g * w.scale_group_step +
                                  v / kPanelVectors * w.scales_apart +
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

// The same where fewer rows than whole panels exist: through a buffer.
template <QuantType kType, int kPanels, int kX, bool kTwoDigits, bool kFetch>
HWY_INLINE void PanelTileOf(const Panels& w, const Columns& cols, bool is_first,
                            int64_t rows, float* y, int64_t y_stride) {
  constexpr int64_t kRows = kPanels * kPanelRows;
  if (rows >= kRows) {
    return PanelTile<kType, kPanels, kX, kTwoDigits, kFetch>(w, cols, is_first,
                                                             y, y_stride);
  }
  HWY_ALIGN float buffer[kX * kRows] = {};
  for (int i = 0; i < kX && !is_first; ++i) {
    memcpy(buffer + i * kRows, y + i * y_stride, rows * sizeof(float));
  }
  PanelTile<kType, kPanels, kX, kTwoDigits, kFetch>(w, cols, is_first, buffer,
                                                    kRows);
  for (int i = 0; i < kX; ++i) {
    memcpy(y + i * y_stride, buffer + i * kRows, rows * sizeof(float));
  }
}

// The widest tile whose sums, totals, weights and columns fit the registers:
// 32 of AVX-512 and NEON, 16 of the others.
constexpr int kTilePanels = kLanes == 16 ? 2 : 1;
constexpr int kTileX = kLanes == 16                 ? 6
                       : HWY_ARCH_ARM_A64           ? 3
                       : kLanes == 8 && Dot::kPairs ? 4
                                                    : 2;

// One row of x is a matter of memory. Bytes are read as four streams, which the
// processor foresees, as far as registers reach; half bytes, with more to do
// for each, as one that is fetched ahead.
template <QuantType kType>
constexpr int kPanelsOfOne = kLanes == 16 && kType == QuantType::kInt8 ? 4 : 1;

// As many rows of x at a time as fit, then the rest with smaller tiles.
template <QuantType kType, int kPanels, int kX, bool kTwoDigits>
HWY_INLINE void TilesFrom(const Panels& w, Columns cols, bool is_first,
                          int64_t rows, float* y, int64_t y_stride) {
  for (; IsNextTile<kX>(cols.end_row - cols.first_row); cols.first_row += kX) {
    float* out = y + cols.first_row * y_stride;
    if (cols.first_row == 0) {
      PanelTileOf<kType, kPanels, kX, kTwoDigits, true>(w, cols, is_first, rows,
                                                        out, y_stride);
    } else {
      PanelTileOf<kType, kPanels, kX, kTwoDigits, false>(w, cols, is_first,
                                                         rows, out, y_stride);
    }
  }
  if constexpr (kX > 1) {
    TilesFrom<kType, kPanels, kX - 1, kTwoDigits>(w, cols, is_first, rows, y,
                                                  y_stride);
  }
}

// `num` panels times rows of x; y is at the first row of these panels, of which
// `rows` exist.
template <QuantType kType, bool kTwoDigits>
HWY_NOINLINE void MultiplyPanelsByRows(Panels w, int64_t num,
                                       const Columns& cols, bool is_first,
                                       int64_t rows, float* y,
                                       int64_t y_stride) {
  const bool is_one = cols.x->num == 1;
  constexpr int kOfOne = kPanelsOfOne<kType>;
  const int64_t many = is_one ? kOfOne : kTilePanels;
  while (num > 0) {
    const int64_t done = num >= many ? many : 1;
    if (is_one && done == kOfOne) {
      PanelTileOf<kType, kOfOne, 1, kTwoDigits, kOfOne == 1>(w, cols, is_first,
                                                             rows, y, y_stride);
    } else if (!is_one && done == kTilePanels) {
      TilesFrom<kType, kTilePanels, kTileX, kTwoDigits>(w, cols, is_first, rows,
                                                        y, y_stride);
    } else {
      TilesFrom<kType, 1, kTileX, kTwoDigits>(w, cols, is_first, rows, y,
                                              y_stride);
    }
    num -= done;
    w.quants += done * w.quants_apart;
    w.scales += done * w.scales_apart;
    y += done * kPanelRows;
    rows -= done * kPanelRows;
  }
}

// So much of x is read for one panel after another: what the second-level cache
// holds beside them.
constexpr int64_t kXBytesAtATime = 1 << 17;

// The same for all rows of x.
template <QuantType kType, bool kTwoDigits>
void MultiplyPanels(const Panels& w, int64_t num, Columns cols, bool is_first,
                    int64_t rows, float* y, int64_t y_stride) {
  constexpr bool kWide =
      kTwoDigits || (Dot::kPairs && kType == QuantType::kInt8);
  const int64_t row_bytes = cols.num_groups * kGroupCols * (kWide ? 2 : 1);
  const int64_t some = HWY_MAX(kXBytesAtATime / row_bytes / kTileX, 1) * kTileX;
  for (; cols.first_row < cols.x->num; cols.first_row = cols.end_row) {
    cols.end_row = HWY_MIN(cols.first_row + some, cols.x->num);
    MultiplyPanelsByRows<kType, kTwoDigits>(w, num, cols, is_first, rows, y,
                                            y_stride);
  }
}

template <QuantType kType, bool kTwoDigits>
void MultiplyRowsOf(const QuantizedMatMulArgs& args, int64_t begin,
                    int64_t end) {
  const QuantizedWeights& w = args.w;
  const int64_t groups = args.x.groups();
  const int64_t bytes = PackedBlockBytes(w.type, w.order, w.cols);
  MultiplyPanels<kType, kTwoDigits>(
      {.quants = w.quants + begin * bytes,
       .quants_apart = bytes,
       .scales = w.scales + begin * groups * kPanelRows,
       .scales_apart = groups * kPanelRows,
       .scale_group_step = kPanelRows},
      end - begin, {&args.x, 0, groups}, true, w.rows - begin * kPanelRows,
      args.y + begin * kPanelRows, args.y_stride);
}

void MultiplyRows(const QuantizedMatMulArgs& args, int64_t begin, int64_t end) {
  if (args.w.type == QuantType::kInt4) {
    return MultiplyRowsOf<QuantType::kInt4, false>(args, begin, end);
  }
  if (args.x.int16_activations) {
    return MultiplyRowsOf<QuantType::kInt8, true>(args, begin, end);
  }
  MultiplyRowsOf<QuantType::kInt8, false>(args, begin, end);
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
