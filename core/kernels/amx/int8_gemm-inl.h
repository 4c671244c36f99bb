// SPDX-License-Identifier: Apache-2.0
// Quantized weights times sixteen rows of x at a time, by Intel's matrix
// extension (AMX). The integers are those of the dot products, and what is done
// with them too, so the results are the same bits.

#if defined(RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_INT8_GEMM_INL_H_
#endif

#include "core/kernels/amx/tile-inl.h"
#include "core/kernels/quant/column_blocks-inl.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
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

// Up to this many rows of x, it takes longer to give weights a sign than to do
// without.
constexpr int64_t kMostRowsInPlace = 32;

// At most so many groups are multiplied at a time: of x in one digit or two,
// what leaves room in the nearest cache for the weights that pass by. Of these,
// so many panels in the order of rows, or a block of columns, which the
// second-level cache holds.
constexpr int64_t TileGroups(bool int16_activations) {
  return int16_activations ? 8 : 16;
}
constexpr int64_t kMaxTileGroups = TileGroups(false);
constexpr int64_t kTilePanelsOfRows = 8;
constexpr int64_t kMaxTilePanels = 2 * kBlockBytes / kPanelRows;

// Up to sixteen rows of x, some groups of them.
struct TilesOfX {
  const QuantizedActivations* rows;
  int64_t first_row;
  int64_t first_group;
  int64_t num;

  // Their place in group `g` of these.
  int64_t At(int64_t g) const { return rows->At(first_row, first_group + g); }
};

// What a tile instruction takes a byte of weights for: a number that has a sign
// or, where they lie in memory, one that has none, kQuantZero above it.
enum class Bytes { kSigned, kUnsigned };

// A panel of weights, some groups of it.
struct TilePanel {
  const uint8_t* quants;   // [groups][a tile]
  const uint16_t* scales;  // of the first group
  // Where its product with the first row of x goes, and of its rows those that
  // exist.
  float* y;
  __mmask16 rows;
  // What is to be fetched meanwhile, for the first group.
  const uint8_t* fetched;
  int64_t fetched_bytes;
};

// What some panels of a unit have in common.
struct TilePanels {
  int64_t num;
  int64_t num_groups;
  int64_t scale_group_step;
  int64_t fetched_group_step;  // bytes
  int64_t y_stride;
  bool is_first;  // else y is added to
  TilePanel of[kMaxTilePanels];
};

// A group of a panel. Panels follow one another, groups within them.
struct TileStep {
  int64_t panel = 0;
  int64_t group = 0;

  HWY_INLINE void Next(int64_t num_groups) {
    if (++group < num_groups) return;
    group = 0;
    ++panel;
  }
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
template <int kSet, bool kTwoDigits, Bytes kBytes>
HWY_INLINE void MultiplyTiles(const uint8_t* quants, const TilesOfX& x,
                              int64_t g) {
  const int64_t at = x.At(g) * kGroupCols;
  const int8_t* const q = x.rows->q + at;
  const int8_t* const low = kTwoDigits ? x.rows->low + at : nullptr;
  if constexpr (kSet == 0) {
    _tile_loadd(6, quants, 64);
    _tile_loadd(4, q, 64);
    _tile_zero(0);
    if constexpr (kBytes == Bytes::kSigned) _tile_dpbssd(0, 4, 6);
    if constexpr (kBytes == Bytes::kUnsigned) _tile_dpbsud(0, 4, 6);
  } else {
    _tile_loadd(7, quants, 64);
    _tile_loadd(5, q, 64);
    _tile_zero(2);
    if constexpr (kBytes == Bytes::kSigned) _tile_dpbssd(2, 5, 7);
    if constexpr (kBytes == Bytes::kUnsigned) _tile_dpbsud(2, 5, 7);
  }
  if constexpr (kTwoDigits && kSet == 0) {
    _tile_loadd(5, low, 64);
    _tile_zero(1);
    if constexpr (kBytes == Bytes::kSigned) _tile_dpbssd(1, 5, 6);
    if constexpr (kBytes == Bytes::kUnsigned) _tile_dpbsud(1, 5, 6);
  } else if constexpr (kTwoDigits) {
    _tile_loadd(4, low, 64);
    _tile_zero(3);
    if constexpr (kBytes == Bytes::kSigned) _tile_dpbssd(3, 4, 7);
    if constexpr (kBytes == Bytes::kUnsigned) _tile_dpbsud(3, 4, 7);
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

template <bool kTwoDigits, Bytes kBytes>
HWY_INLINE void AddSums(const uint16_t* scales, const TilesOfX& x, int64_t g,
                        const TileSums& sums, VF (&totals)[kTileRows]) {
  const VF scale = LoadScales(scales);
  const float* x_scales = x.rows->scales + x.At(g);
  const int32_t* offsets = x.rows->offsets + x.At(g);
  alignas(64) float some_scales[kTileRows];
  alignas(64) int32_t some_offsets[kTileRows];
  if (x.num < kTileRows) {
    const __mmask16 mask = FirstRows(x.num);
    _mm512_store_ps(some_scales, _mm512_maskz_loadu_ps(mask, x_scales));
    _mm512_store_si512(some_offsets, _mm512_maskz_loadu_epi32(mask, offsets));
    x_scales = some_scales;
    offsets = some_offsets;
  }
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    VI sum = hn::Load(kI, sums.of[0] + i * kPanelRows);
    if constexpr (kTwoDigits) {
      sum = hn::Add(hn::ShiftLeft<8>(sum),
                    hn::Load(kI, sums.of[1] + i * kPanelRows));
    }
    if constexpr (kBytes == Bytes::kUnsigned) {
      sum = hn::Add(sum, hn::Set(kI, offsets[i]));
    }
    const VF both = hn::Mul(scale, hn::Set(kF, x_scales[i]));
    totals[i] = hn::MulAdd(hn::ConvertTo(kF, sum), both, totals[i]);
  }
}

HWY_INLINE void Fetch(const uint8_t* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(from + at, 0, 2);
  }
}

HWY_INLINE void LoadTotals(const TilePanels& w, const TilePanel& panel,
                           int64_t num_x, VF (&totals)[kTileRows]) {
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    totals[i] =
        w.is_first || i >= num_x
            ? hn::Zero(kF)
            : VF{_mm512_maskz_loadu_ps(panel.rows, panel.y + i * w.y_stride)};
  }
}

HWY_INLINE void KeepTotals(const TilePanels& w, const TilePanel& panel,
                           int64_t num_x, const VF (&totals)[kTileRows]) {
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    if (i < num_x) {
      _mm512_mask_storeu_ps(panel.y + i * w.y_stride, panel.rows,
                            totals[i].raw);
    }
  }
}

// Multiplies one step, stores the sums of the one before, and adds up those of
// the one before that: they take long to come. `ahead` and `behind` are the
// first and the last of these.
template <int kSet, bool kTwoDigits, Bytes kBytes>
HWY_INLINE void RunStep(const TilePanels& w, const TilesOfX& x, int64_t step,
                        TileStep* ahead, TileStep* behind, TileSums (&sums)[2],
                        VF (&totals)[kTileRows]) {
  const int64_t steps = w.num * w.num_groups;
  if (step < steps) {
    const TilePanel& panel = w.of[ahead->panel];
    MultiplyTiles<kSet, kTwoDigits, kBytes>(
        panel.quants + ahead->group * kPanelGroupBytes, x, ahead->group);
    Fetch(panel.fetched + ahead->group * w.fetched_group_step,
          panel.fetched_bytes);
    ahead->Next(w.num_groups);
  }
  if (step >= 2 && step - 2 < steps) {
    const TilePanel& panel = w.of[behind->panel];
    const int64_t g = behind->group;
    if (g == 0) LoadTotals(w, panel, x.num, totals);
    AddSums<kTwoDigits, kBytes>(panel.scales + g * w.scale_group_step, x, g,
                                sums[kSet], totals);
    if (g + 1 == w.num_groups) KeepTotals(w, panel, x.num, totals);
    behind->Next(w.num_groups);
  }
  if (step >= 1 && step - 1 < steps) {
    StoreSums<1 - kSet, kTwoDigits>(&sums[1 - kSet]);
  }
}

// Panels times up to sixteen rows of x.
template <bool kTwoDigits, Bytes kBytes>
void MultiplyPanelsByTile(const TilePanels& w, const TilesOfX& x) {
  TileStep ahead, behind;
  TileSums sums[2];
  VF totals[kTileRows];
  for (int64_t step = 0; step < w.num * w.num_groups + 2; step += 2) {
    RunStep<0, kTwoDigits, kBytes>(w, x, step, &ahead, &behind, sums, totals);
    RunStep<1, kTwoDigits, kBytes>(w, x, step + 1, &ahead, &behind, sums,
                                   totals);
  }
}

// ---- Weights made ready for many rows of x: as panels of 8 bits with a sign.

HWY_INLINE VI SignBits() {
  return hn::Set(kI, static_cast<int32_t>(0x80808080u));
}

// `bytes` bytes of 8 bits of a panel.
HWY_INLINE void CopyPanel(const uint8_t* from, int64_t bytes, uint8_t* to) {
  for (int64_t at = 0; at < bytes; at += kVectorBytes) {
    __builtin_prefetch(from + at + kBytesAhead, 0, 2);
    StoreBytes(hn::Xor(LoadBytes(from + at), SignBits()), to + at);
  }
}

// `bytes` bytes of 4 bits of a panel.
HWY_INLINE void WidenPanel(const uint8_t* from, int64_t bytes, uint8_t* to) {
  static_assert(kUnitBytes == kVectorBytes, "a unit is not a vector");
  for (int64_t at = 0; at < bytes; at += kUnitBytes) {
    __builtin_prefetch(from + at + kBytesAhead, 0, 2);
    const VI both = LoadBytes(from + at);
    StoreBytes(hn::Xor(LowerHalves(both), SignBits()), to + 2 * at);
    StoreBytes(hn::Xor(UpperHalves(both), SignBits()),
               to + 2 * at + kUnitBytes);
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
  return PackedBlockRows(w.type, w.order) / kPanelRows;
}

// Where in memory panel `i` of a unit begins; of columns, as if panel by panel.
const uint8_t* QuantsOf(const QuantizedWeights& w, const TileUnit& unit,
                        int64_t i) {
  const int64_t groups = w.cols / kGroupCols;
  const int64_t apart =
      w.order == QuantOrder::kRowPanels ? groups : unit.num_groups;
  return w.quants + (unit.first_panel * groups +
                     unit.first_group * StripePanels(w) + i * apart) *
                        GroupBytes(w.type);
}

void FillUnit(const QuantizedWeights& w, const TileUnit& unit,
              uint8_t* scratch) {
  const int64_t apart = unit.num_groups * kPanelGroupBytes;
  const bool is_int8 = w.type == QuantType::kInt8;
  if (w.order == QuantOrder::kColumnBlocks) {
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
      CopyPanel(from, apart, scratch + i * apart);
    } else {
      WidenPanel(from, unit.num_groups * GroupBytes(w.type),
                 scratch + i * apart);
    }
  }
}

// The panels of a unit that are ready in `scratch`, or, if that is null, in
// memory. While they are multiplied by the rows of x, `next`, which may be
// null, is fetched: for each sixteen rows of x a share of it, so that memory
// has all of the time.
TilePanels PanelsOf(const QuantizedMatMulArgs& args, const TileUnit& unit,
                    const TileUnit* next, int64_t row, const uint8_t* scratch) {
  const QuantizedWeights& w = args.w;
  const int64_t stripe = StripePanels(w), groups = w.cols / kGroupCols;
  const int64_t first_scales =
      unit.first_panel * groups + unit.first_group * stripe;
  const int64_t scales_apart = w.order == QuantOrder::kRowPanels ? groups : 1;
  const int64_t group_bytes = GroupBytes(w.type);
  const int64_t tiles = (args.x.num + kTileRows - 1) / kTileRows;
  const int64_t share = (group_bytes / 64 + tiles - 1) / tiles * 64;
  const int64_t fetched = HWY_MIN(row / kTileRows * share, group_bytes);
  // Of a block of columns, the last panels may not exist.
  const int64_t existing = (w.rows + kPanelRows - 1) / kPanelRows;
  TilePanels panels = {
      .num = HWY_MIN(unit.num_panels, existing - unit.first_panel),
      .num_groups = unit.num_groups,
      .scale_group_step = stripe * kPanelRows,
      .fetched_group_step = group_bytes,
      .y_stride = args.y_stride,
      .is_first = unit.first_group == 0,
      .of = {}};
  for (int64_t i = 0; i < panels.num; ++i) {
    const int64_t first = (unit.first_panel + i) * kPanelRows;
    const bool fetches = next != nullptr && i < next->num_panels;
    panels.of[i] = {
        .quants = scratch == nullptr
                      ? QuantsOf(w, unit, i)
                      : scratch + i * unit.num_groups * kPanelGroupBytes,
        .scales = w.scales + (first_scales + i * scales_apart) * kPanelRows,
        .y = args.y + row * args.y_stride + first,
        .rows = FirstRows(w.rows - first),
        .fetched = fetches ? QuantsOf(w, *next, i) + fetched : w.quants,
        .fetched_bytes = fetches ? HWY_MIN(share, group_bytes - fetched) : 0};
  }
  return panels;
}

template <bool kTwoDigits, Bytes kBytes>
void MultiplyUnit(const QuantizedMatMulArgs& args, const TileUnit& unit,
                  const TileUnit* next, const uint8_t* scratch) {
  FinishWriting();
  for (int64_t row = 0; row < args.x.num; row += kTileRows) {
    const TilesOfX x = {&args.x, row, unit.first_group,
                        HWY_MIN(args.x.num - row, kTileRows)};
    if (x.num < kTileRows) ConfigureRows(x.num);
    MultiplyPanelsByTile<kTwoDigits, kBytes>(
        PanelsOf(args, unit, next, row, scratch), x);
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
      w.order == QuantOrder::kRowPanels ? kTilePanelsOfRows : StripePanels(w);
  unit->num_panels = HWY_MIN(most, end - unit->first_panel);
  unit->num_groups =
      HWY_MIN(TileGroups(kTwoDigits), groups - unit->first_group);
  return unit->num_panels > 0;
}

// Panels or blocks [begin, end) of the product: as they lie in memory, if they
// are to be taken without a sign.
template <bool kTwoDigits, Bytes kBytes>
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
    const bool in_place = kBytes == Bytes::kUnsigned;
    if (!in_place) FillUnit(args.w, unit, scratch);
    MultiplyUnit<kTwoDigits, kBytes>(args, unit, more ? &next : nullptr,
                                     in_place ? nullptr : scratch);
    unit = next;
  }
  _tile_release();
}

// False if there are so few rows of x, or of so many zeros, that tiles are not
// the faster way.
bool MultiplyWithTiles(const QuantizedMatMulArgs& args, int64_t begin,
                       int64_t end) {
  if (args.x.num < kMinRowsForTiles) return false;
  if (args.w.order == QuantOrder::kColumnBlocks && IsSparse(args.x))
    return false;
  const bool in_place = args.w.type == QuantType::kInt8 &&
                        args.w.order == QuantOrder::kRowPanels &&
                        args.x.num <= kMostRowsInPlace;
  if (!args.x.int16_activations) {
    (in_place ? MultiplyTiled<false, Bytes::kUnsigned>
              : MultiplyTiled<false, Bytes::kSigned>)(args, begin, end);
  } else {
    (in_place ? MultiplyTiled<true, Bytes::kUnsigned>
              : MultiplyTiled<true, Bytes::kSigned>)(args, begin, end);
  }
  return true;
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
