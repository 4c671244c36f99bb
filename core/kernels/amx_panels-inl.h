// SPDX-License-Identifier: Apache-2.0
// Panels times sixteen rows of x at a time, by Intel's matrix extension (AMX).
// The integers are those of the dot products, and what is done with them too,
// so the results are the same bits.

#if defined(RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#endif

#include "core/kernels/dot-inl.h"
#include "core/kernels/panels-inl.h"
#include "core/kernels/quantized.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A tile register holds sixteen rows of 64 bytes: of x, a group's columns; of
// weights, a group's units of a panel, as they lie in memory; of sums, those of
// the panel's rows for a row of x each.
constexpr int kTileRows = 16;

// The layout of all eight tile registers (Intel's manual, LDTILECFG).
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Sums of a group: of x's first and second tile (or digit) with each panel.
struct alignas(64) TileSums {
  int32_t of[2][2][kTileRows * kPanelRows];
};

// kPanels * 16 rows of the product for 16 rows of x, or 32 if `kX` is 2 and
// these are not two digits of the same.
template <int kPanels, int kX, bool kTwoDigits>
class AmxTile {
 public:
  static constexpr int64_t kRowsOfX = kTwoDigits ? kTileRows : kX * kTileRows;

  AmxTile(const Panels& w, const Columns& cols, bool is_first, int64_t rows,
          float* y, int64_t y_stride)
      : w_(w), x_(*cols.x), cols_(cols) {
    for (int64_t i = 0; i < kRowsOfX; ++i) {
      for (int p = 0; p < kPanels; ++p) {
        const __mmask16 mask = Mask(rows, p);
        const float* from = y + i * y_stride + p * kPanelRows;
        _mm512_store_ps(totals_[i][p], is_first
                                           ? _mm512_setzero_ps()
                                           : _mm512_maskz_loadu_ps(mask, from));
      }
    }
    for (int64_t g = 0; g < cols.num_groups; ++g) Step(g);
    AddPart<0>(cols.num_groups - 1);
    AddPart<1>(cols.num_groups - 1);
    AddPart<2>(cols.num_groups - 1);
    AddPart<3>(cols.num_groups - 1);
    for (int64_t i = 0; i < kRowsOfX; ++i) {
      for (int p = 0; p < kPanels; ++p) {
        _mm512_mask_storeu_ps(y + i * y_stride + p * kPanelRows, Mask(rows, p),
                              _mm512_load_ps(totals_[i][p]));
      }
    }
  }

 private:
  // Of the panel's rows, those that exist.
  static __mmask16 Mask(int64_t rows, int panel) {
    const int64_t left = rows - panel * kPanelRows;
    return left >= kPanelRows ? 0xffff : (1u << (left < 0 ? 0 : left)) - 1;
  }

  // Multiplies group `g`, and between its instructions, which take long to
  // answer, adds up the group before.
  HWY_INLINE void Step(int64_t g) {
    const int64_t group = cols_.first_group + g;
    const int64_t at = cols_.first_row * x_.cols + group * kGroupCols;
    const int8_t* const x0 = x_.q + at;
    const int8_t* const x1 =
        kTwoDigits ? x_.low + at : x0 + kTileRows * x_.cols;
    const uint8_t* const w0 = w_.quants + g * kPanelGroupBytes;
    const uint8_t* const w1 = w0 + w_.quants_apart;
    if (cols_.first_row == 0) Fetch(w0);
    auto& sums = sums_[g % 2].of;

    _tile_zero(0);
    _tile_loadd(4, x0, x_.cols);
    _tile_loadd(6, w0, 64);
    _tile_dpbsud(0, 4, 6);
    AddPart<0>(g - 1);
    if constexpr (kPanels == 2) {
      _tile_zero(1);
      _tile_loadd(7, w1, 64);
      _tile_dpbsud(1, 4, 7);
    }
    _tile_stored(0, sums[0][0], 64);
    AddPart<1>(g - 1);
    if constexpr (kX == 2) {
      _tile_zero(2);
      _tile_loadd(5, x1, x_.cols);
      _tile_dpbsud(2, 5, 6);
    }
    if constexpr (kPanels == 2) _tile_stored(1, sums[0][1], 64);
    AddPart<2>(g - 1);
    if constexpr (kX == 2 && kPanels == 2) {
      _tile_zero(3);
      _tile_dpbsud(3, 5, 7);
    }
    if constexpr (kX == 2) _tile_stored(2, sums[1][0], 64);
    AddPart<3>(g - 1);
    if constexpr (kX == 2 && kPanels == 2) _tile_stored(3, sums[1][1], 64);
  }

  // What comes kBytesAhead behind a group of the panels.
  HWY_INLINE void Fetch(const uint8_t* w) const {
    for (int64_t at = 0; at < kPanelGroupBytes; at += 64) {
      __builtin_prefetch(w + kBytesAhead + at, 0, 2);
      if (kPanels == 2) {
        __builtin_prefetch(w + w_.quants_apart + kBytesAhead + at, 0, 2);
      }
    }
  }

  // Adds to the totals the sums of group `g`, if there is one: of panel
  // kPart % 2, with the first half of the rows of x or the second.
  template <int kPart>
  HWY_INLINE void AddPart(int64_t g) {
    constexpr int kPanel = kPart % 2;
    constexpr int64_t kHalf = kRowsOfX / 2, kFirst = kPart / 2 * kHalf;
    if (kPanel >= kPanels || g < 0) return;
    const auto& sums = sums_[g % 2].of;
    const int64_t step = x_.groups();
    const int64_t at = cols_.first_row * step + cols_.first_group + g;
    const int32_t* const offsets = x_.offsets + at;
    const float* const scales = x_.scales + at;
    const VF scale = LoadScales(w_.scales + g * w_.scale_group_step +
                                kPanel * w_.scales_apart);
    HWY_UNROLL(8)
    for (int64_t i = kFirst; i < kFirst + kHalf; ++i) {
      const int64_t row = i % kTileRows * kPanelRows;
      VI sum = hn::Load(kI, sums[i / kTileRows][kPanel] + row);
      if constexpr (kTwoDigits) {
        sum =
            hn::Add(hn::ShiftLeft<8>(sum), hn::Load(kI, sums[1][kPanel] + row));
      }
      sum = hn::Add(sum, hn::Set(kI, offsets[i * step]));
      const VF both = hn::Mul(scale, hn::Set(kF, scales[i * step]));
      float* const total = totals_[i][kPanel];
      hn::Store(hn::MulAdd(hn::ConvertTo(kF, sum), both, hn::Load(kF, total)),
                kF, total);
    }
  }

  const Panels& w_;
  const QuantizedRows& x_;
  const Columns& cols_;
  alignas(64) float totals_[kRowsOfX][kPanels][kPanelRows];
  TileSums sums_[2];
};

// As many rows of x, from the first on, as fill tiles; returns how many.
template <int kPanels, bool kTwoDigits>
int64_t MultiplyWithAmx(const Panels& w, Columns cols, bool is_first,
                        int64_t rows, float* y, int64_t y_stride) {
  if (cols.x->num < kTileRows) return 0;
  const TileConfig config;
  _tile_loadconfig(&config);
  while (cols.first_row + kTileRows <= cols.x->num) {
    float* const out = y + cols.first_row * y_stride;
    if (kTwoDigits || cols.first_row + 2 * kTileRows <= cols.x->num) {
      AmxTile<kPanels, 2, kTwoDigits>(w, cols, is_first, rows, out, y_stride);
      cols.first_row += kTwoDigits ? kTileRows : 2 * kTileRows;
    } else {
      AmxTile<kPanels, 1, false>(w, cols, is_first, rows, out, y_stride);
      cols.first_row += kTileRows;
    }
  }
  _tile_release();
  return cols.first_row;
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
