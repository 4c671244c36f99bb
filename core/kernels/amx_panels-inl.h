// SPDX-License-Identifier: Apache-2.0
// Quantized weights times sixteen rows of x at a time, by Intel's matrix
// extension (AMX). The integers are those of the dot products, and what is done
// with them too, so the results are the same bits.

#if defined(RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_PANELS_INL_H_
#endif

#include "core/kernels/amx_tiles-inl.h"
#include "core/kernels/dot-inl.h"
#include "core/kernels/panels-inl.h"
#include "core/kernels/quantized.h"
#include "core/kernels/quantized_columns-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A tile of x holds a group's columns; of weights, a group's units of a panel;
// of sums, those of the panel's rows for a row of x each.

// From this many rows of x on, a tile is faster than dot products, even if some
// of its rows stay empty.
constexpr int64_t kMinRowsForTiles = 8;

// At most so many groups are multiplied at a time: of x in one digit or two,
// what leaves room in the nearest cache for the weights that pass by. Of these,
// so many panels in the order of rows, or a block of columns, which the
// second-level cache holds.
constexpr int64_t TileGroups(bool two_digits) { return two_digits ? 8 : 16; }
constexpr int64_t kMaxTileGroups = TileGroups(false);
constexpr int64_t kTilePanelsOfRows = 8;
constexpr int64_t kMaxTilePanels = 2 * kBlockBytes / kPanelRows;

// Up to sixteen rows of x, some groups of them.
struct TilesOfX {
  const QuantizedRows* rows;
  int64_t first_row;
  int64_t first_group;
  int64_t num;

  // Their place in group `g` of these.
  int64_t At(int64_t g) const { return rows->At(first_row, first_group + g); }
};

// A panel of weights that have a sign, some groups of it.
struct TilePanel {
  const uint8_t* quants;   // [groups][a tile]
  const uint16_t* scales;  // of the first group
  int64_t scale_group_step;
  int64_t num_groups;
  // What is to be fetched meanwhile, fetched_bytes for each group, or null.
  const uint8_t* fetched;
  int64_t fetched_bytes;
};

// Where a tile's sums go, and of a panel's rows those that exist.
struct TileOfY {
  float* y;
  int64_t stride;
  __mmask16 rows;
};

// The registers, for so many rows of x.
void ConfigureRows(int64_t num) {
  TileConfig config;
  for (const int rows_of_x : {0, 1, 2, 3, 4, 5}) {
    config.rows[rows_of_x] = static_cast<uint8_t>(num);
  }
  LoadConfig(config);
}

// Multiplies group `g` into one of two sets of tile registers, whose numbers
// must be literals: of sums 0 and 1 or 2 and 3, of x 4 and 5, of weights 6
// or 7.
template <int kSet, bool kTwoDigits>
HWY_INLINE void MultiplyTiles(const TilePanel& w, const TilesOfX& x,
                              int64_t g) {
  const uint8_t* const quants = w.quants + g * kPanelGroupBytes;
  const int64_t at = x.At(g) * kGroupCols;
  const int8_t* const q = x.rows->q + at;
  const int8_t* const low = kTwoDigits ? x.rows->low + at : nullptr;
  if constexpr (kSet == 0) {
    _tile_loadd(6, quants, 64);
    _tile_loadd(4, q, 64);
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
  } else {
    _tile_loadd(7, quants, 64);
    _tile_loadd(5, q, 64);
    _tile_zero(2);
    _tile_dpbssd(2, 5, 7);
  }
  if constexpr (kTwoDigits && kSet == 0) {
    _tile_loadd(5, low, 64);
    _tile_zero(1);
    _tile_dpbssd(1, 5, 6);
  } else if constexpr (kTwoDigits) {
    _tile_loadd(4, low, 64);
    _tile_zero(3);
    _tile_dpbssd(3, 4, 7);
  }
}

// The sums of a group: of x's only digit or upper one, and of the lower one.
struct alignas(64) TileSums {
  int32_t of[2][kTileRows * kPanelRows];
};

template <int kSet, bool kTwoDigits>
HWY_INLINE void StoreSums(TileSums* sums) {
  if constexpr (kSet == 0) {
    _tile_stored(0, sums->of[0], 64);
    if constexpr (kTwoDigits) _tile_stored(1, sums->of[1], 64);
  } else {
    _tile_stored(2, sums->of[0], 64);
    if constexpr (kTwoDigits) _tile_stored(3, sums->of[1], 64);
  }
}

template <bool kTwoDigits>
HWY_INLINE void AddSums(const TilePanel& w, const TilesOfX& x, int64_t g,
                        const TileSums& sums, VF (&totals)[kTileRows]) {
  const VF scale = LoadScales(w.scales + g * w.scale_group_step);
  alignas(64) float x_scales[kTileRows];
  _mm512_store_ps(x_scales, _mm512_maskz_loadu_ps(FirstRows(x.num),
                                                  x.rows->scales + x.At(g)));
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    VI sum = hn::Load(kI, sums.of[0] + i * kPanelRows);
    if constexpr (kTwoDigits) {
      sum = hn::Add(hn::ShiftLeft<8>(sum),
                    hn::Load(kI, sums.of[1] + i * kPanelRows));
    }
    const VF both = hn::Mul(scale, hn::Set(kF, x_scales[i]));
    totals[i] = hn::MulAdd(hn::ConvertTo(kF, sum), both, totals[i]);
  }
}

// What group `g` fetches.
HWY_INLINE void Fetch(const TilePanel& w, int64_t g) {
  if (w.fetched == nullptr) return;
  const uint8_t* const from = w.fetched + g * w.fetched_bytes;
  for (int64_t at = 0; at < w.fetched_bytes; at += 64) {
    __builtin_prefetch(from + at, 0, 2);
  }
}

// Multiplies group `g`. Its sums take long to come, so meanwhile adds up those
// of the group before the last, and stores those of the last.
template <int kSet, bool kTwoDigits>
HWY_INLINE void TileStep(const TilePanel& w, const TilesOfX& x, int64_t g,
                         TileSums (&sums)[2], VF (&totals)[kTileRows]) {
  MultiplyTiles<kSet, kTwoDigits>(w, x, g);
  Fetch(w, g);
  if (g >= 2) AddSums<kTwoDigits>(w, x, g - 2, sums[kSet], totals);
  if (g >= 1) StoreSums<1 - kSet, kTwoDigits>(&sums[1 - kSet]);
}

template <int kSet, bool kTwoDigits>
HWY_INLINE void LastSums(const TilePanel& w, const TilesOfX& x,
                         TileSums (&sums)[2], VF (&totals)[kTileRows]) {
  const int64_t g = w.num_groups - 1;
  StoreSums<kSet, kTwoDigits>(&sums[kSet]);
  if (g >= 1) AddSums<kTwoDigits>(w, x, g - 1, sums[1 - kSet], totals);
  AddSums<kTwoDigits>(w, x, g, sums[kSet], totals);
}

// A panel times sixteen rows of x. Adds to what is in y, unless `is_first`.
template <bool kTwoDigits>
void MultiplyPanel(const TilePanel& w, const TilesOfX& x, bool is_first,
                   const TileOfY& y) {
  VF totals[kTileRows];
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    totals[i] = is_first || i >= x.num
                    ? hn::Zero(kF)
                    : VF{_mm512_maskz_loadu_ps(y.rows, y.y + i * y.stride)};
  }
  TileSums sums[2];
  for (int64_t g = 0; g < w.num_groups; g += 2) {
    TileStep<0, kTwoDigits>(w, x, g, sums, totals);
    if (g + 1 < w.num_groups) {
      TileStep<1, kTwoDigits>(w, x, g + 1, sums, totals);
    }
  }
  if (w.num_groups % 2 != 0) {
    LastSums<0, kTwoDigits>(w, x, sums, totals);
  } else {
    LastSums<1, kTwoDigits>(w, x, sums, totals);
  }
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    if (i < x.num) {
      _mm512_mask_storeu_ps(y.y + i * y.stride, y.rows, totals[i].raw);
    }
  }
}

// Some neighbouring panels and groups of them: what is made ready at a time.
struct TileUnit {
  int64_t first_panel;
  int64_t num_panels;
  int64_t first_group;
  int64_t num_groups;
};

// Panels of a stripe: one, or those of a block of columns. A unit of columns
// begins with a block.
int64_t StripePanels(const QuantizedWeights& w) {
  return StripeRows(w.type, w.order) / kPanelRows;
}

// Where in memory panel `i` of a unit begins; of columns, as if panel by panel.
const uint8_t* QuantsOf(const QuantizedWeights& w, const TileUnit& unit,
                        int64_t i) {
  const int64_t groups = w.cols / kGroupCols;
  const int64_t apart = w.order == QuantOrder::kRows ? groups : unit.num_groups;
  return w.quants + (unit.first_panel * groups +
                     unit.first_group * StripePanels(w) + i * apart) *
                        GroupBytes(w.type);
}

void FillUnit(const QuantizedWeights& w, const TileUnit& unit,
              uint8_t* scratch) {
  const int64_t apart = unit.num_groups * kPanelGroupBytes;
  const bool is_int8 = w.type == QuantType::kInt8;
  if (w.order == QuantOrder::kColumns) {
    const int64_t group_bytes = kBlockBytes * kGroupCols;
    const uint8_t* const columns = QuantsOf(w, unit, 0);
    for (int64_t g = 0; g < unit.num_groups; ++g) {
      const auto fill =
          is_int8 ? &ToPanels<QuantType::kInt8> : &ToPanels<QuantType::kInt4>;
      fill(columns + g * group_bytes, apart, SignBits(),
           scratch + g * kPanelGroupBytes);
    }
    return;
  }
  for (int64_t i = 0; i < unit.num_panels; ++i) {
    const uint8_t* const from = QuantsOf(w, unit, i);
    if (is_int8) {
      CopyPanel(from, apart, SignBits(), scratch + i * apart);
    } else {
      WidenPanel(from, unit.num_groups * GroupBytes(w.type), SignBits(),
                 scratch + i * apart);
    }
  }
}

// Panel `i` of a unit that is ready in `scratch`.
TilePanel PanelOf(const QuantizedWeights& w, const TileUnit& unit, int64_t i,
                  const uint8_t* scratch) {
  const int64_t panels = StripePanels(w), groups = w.cols / kGroupCols;
  const int64_t first_scales = unit.first_panel * groups +
                               unit.first_group * panels +
                               i * (w.order == QuantOrder::kRows ? groups : 1);
  return {.quants = scratch + i * unit.num_groups * kPanelGroupBytes,
          .scales = w.scales + first_scales * kPanelRows,
          .scale_group_step = panels * kPanelRows,
          .num_groups = unit.num_groups,
          .fetched = nullptr,
          .fetched_bytes = GroupBytes(w.type)};
}

// `next` is the unit that follows, whose weights are fetched, or null.
template <bool kTwoDigits>
void MultiplyUnit(const QuantizedMatMulArgs& args, const TileUnit& unit,
                  const TileUnit* next, const uint8_t* scratch) {
  FinishWriting();
  for (int64_t row = 0; row < args.x.num; row += kTileRows) {
    const TilesOfX x = {&args.x, row, unit.first_group,
                        HWY_MIN(args.x.num - row, kTileRows)};
    if (x.num < kTileRows) ConfigureRows(x.num);
    for (int64_t i = 0; i < unit.num_panels; ++i) {
      const int64_t first = (unit.first_panel + i) * kPanelRows;
      // Of a block of columns, the last panels may not exist.
      if (first >= args.w.rows) break;
      TilePanel panel = PanelOf(args.w, unit, i, scratch);
      if (row == 0 && next != nullptr && i < next->num_panels) {
        panel.fetched = QuantsOf(args.w, *next, i);
      }
      MultiplyPanel<kTwoDigits>(
          panel, x, unit.first_group == 0,
          {args.y + row * args.y_stride + first, args.y_stride,
           FirstRows(args.w.rows - first)});
    }
    if (x.num < kTileRows) ConfigureRows(kTileRows);
  }
}

// The unit after `unit`, of the panels before `end`. False if there is none.
template <bool kTwoDigits>
bool NextUnit(const QuantizedWeights& w, int64_t end, TileUnit* unit) {
  const int64_t groups = w.cols / kGroupCols;
  unit->first_group += unit->num_groups;
  if (unit->first_group == groups) {
    unit->first_group = 0;
    unit->first_panel += unit->num_panels;
  }
  const int64_t most =
      w.order == QuantOrder::kRows ? kTilePanelsOfRows : StripePanels(w);
  unit->num_panels = HWY_MIN(most, end - unit->first_panel);
  unit->num_groups =
      HWY_MIN(TileGroups(kTwoDigits), groups - unit->first_group);
  return unit->num_panels > 0;
}

// Panels or blocks [begin, end) of the product.
template <bool kTwoDigits>
void MultiplyTiled(const QuantizedMatMulArgs& args, int64_t begin,
                   int64_t end) {
  const int64_t panels = StripePanels(args.w);
  alignas(64)
      uint8_t scratch[kMaxTilePanels * kMaxTileGroups * kPanelGroupBytes];
  ConfigureRows(kTileRows);
  TileUnit unit = {begin * panels, 0, 0, 0};
  bool more = NextUnit<kTwoDigits>(args.w, end * panels, &unit);
  while (more) {
    TileUnit next = unit;
    more = NextUnit<kTwoDigits>(args.w, end * panels, &next);
    FillUnit(args.w, unit, scratch);
    MultiplyUnit<kTwoDigits>(args, unit, more ? &next : nullptr, scratch);
    unit = next;
  }
  _tile_release();
}

// False if there are so few rows of x, or of so many zeros, that tiles are not
// the faster way.
bool MultiplyWithTiles(const QuantizedMatMulArgs& args, int64_t begin,
                       int64_t end) {
  if (args.x.num < kMinRowsForTiles) return false;
  if (args.w.order == QuantOrder::kColumns && IsSparse(args.x)) return false;
  if (args.x.low != nullptr) {
    MultiplyTiled<true>(args, begin, end);
  } else {
    MultiplyTiled<false>(args, begin, end);
  }
  return true;
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
