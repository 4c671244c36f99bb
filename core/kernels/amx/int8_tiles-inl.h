// SPDX-License-Identifier: Apache-2.0
// Multiplies a chunk of int8 weights by up to sixteen rows of quantized x, with
// AMX. The integer sums and the f32 arithmetic that follows are those of the
// dot product kernels, so the results are bit-identical.

#if defined(RWKVD_CORE_KERNELS_AMX_INT8_TILES_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_INT8_TILES_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_INT8_TILES_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_INT8_TILES_INL_H_
#endif

#include "core/kernels/amx/tile-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A tile of x holds one group of up to sixteen rows; a tile of weights one int8
// block; a tile of sums those of the block's rows, one tile row per row of x.

// A chunk is the part of the weights that is multiplied at a time: at most
// kMaxChunkGroups groups of at most kMaxChunkPanels panels. These are the
// panels of one column block or, of row panels, Tiling::kAmxInt8Panels.
constexpr int64_t kMaxChunkGroups = Tiling::AmxInt8Groups(false);
constexpr int64_t kMaxChunkPanels = 2 * kBlockColumnBytes / kPanelRows;

// Up to sixteen rows of x, from a group on.
struct ActivationTile {
  const QuantizedActivations* activations;
  int64_t first_row;
  int64_t first_group;
  int64_t num;  // rows

  // QuantizedActivations::Index of the first row in group `g`, counted from
  // first_group.
  int64_t Index(int64_t g) const {
    return activations->Index(first_row, first_group + g);
  }
};

// What a tile instruction takes a byte of weights for: a signed number or, for
// weights as they are stored, an unsigned one that is larger by kQuantZero.
enum class WeightBytes { kSigned, kUnsigned };

// One panel's part of a chunk.
struct ChunkPanel {
  const uint8_t* quants;   // [groups][an int8 block]
  const uint16_t* scales;  // of the first group
  float* y;                // of the first row of x and the panel's first row
  __mmask16 rows;          // the panel's rows that exist
  // What to prefetch while the first group is multiplied.
  const uint8_t* prefetched;
  int64_t prefetch_bytes;
};

// The panels of a chunk, and what they have in common.
struct ChunkPanels {
  int64_t num;
  int64_t num_groups;
  int64_t scales_group_stride;    // scales from one group to the next
  int64_t prefetch_group_stride;  // bytes from one group's prefetch to the next
  int64_t y_stride;
  bool is_first;  // else the results are added to y
  ChunkPanel of[kMaxChunkPanels];
};

// A position in a chunk: panel by panel, group by group within a panel.
struct BlockCursor {
  int64_t panel = 0;
  int64_t group = 0;

  HWY_INLINE void Next(int64_t num_groups) {
    if (++group < num_groups) return;
    group = 0;
    ++panel;
  }
};

// Configures the tile registers for `num` rows of x.
void ConfigureXRows(int64_t num) {
  TileConfig config;
  for (const int tile : {0, 1, 2, 3, 4, 5}) {
    config.rows[tile] = static_cast<uint8_t>(num);
  }
  LoadConfig(config);
}

// Multiplies the block of group `g` into one of two sets of tile registers:
// sums in 0 and 1 (kSet 0) or 2 and 3, x in 4 and 5, weights in 6 or 7.
// Register numbers must be literals.
template <int kSet, bool kInt16, WeightBytes kWeights>
HWY_INLINE void MultiplyBlockByTile(const uint8_t* quants,
                                    const ActivationTile& x, int64_t g) {
  const int64_t at = x.Index(g) * kGroupCols;
  const int8_t* const high = x.activations->high + at;
  const int8_t* const low = kInt16 ? x.activations->low + at : nullptr;
  if constexpr (kSet == 0) {
    _tile_loadd(6, quants, 64);
    _tile_loadd(4, high, 64);
    _tile_zero(0);
    if constexpr (kWeights == WeightBytes::kSigned) _tile_dpbssd(0, 4, 6);
    if constexpr (kWeights == WeightBytes::kUnsigned) _tile_dpbsud(0, 4, 6);
  } else {
    _tile_loadd(7, quants, 64);
    _tile_loadd(5, high, 64);
    _tile_zero(2);
    if constexpr (kWeights == WeightBytes::kSigned) _tile_dpbssd(2, 5, 7);
    if constexpr (kWeights == WeightBytes::kUnsigned) _tile_dpbsud(2, 5, 7);
  }
  if constexpr (kInt16 && kSet == 0) {
    _tile_loadd(5, low, 64);
    _tile_zero(1);
    if constexpr (kWeights == WeightBytes::kSigned) _tile_dpbssd(1, 5, 6);
    if constexpr (kWeights == WeightBytes::kUnsigned) _tile_dpbsud(1, 5, 6);
  } else if constexpr (kInt16) {
    _tile_loadd(4, low, 64);
    _tile_zero(3);
    if constexpr (kWeights == WeightBytes::kSigned) _tile_dpbssd(3, 4, 7);
    if constexpr (kWeights == WeightBytes::kUnsigned) _tile_dpbsud(3, 4, 7);
  }
}

// The sums of a block: with int8 activations or the high parts of int16 ones,
// and with the low parts.
struct alignas(64) TileSums {
  int32_t of[2][kTileRows * kPanelRows];
};

// Stores the sums of a set of tile registers.
template <int kSet, bool kInt16>
HWY_INLINE void StoreSums(TileSums* sums) {
  if constexpr (kSet == 0) {
    _tile_stored(0, sums->of[0], 64);
    if constexpr (kInt16) _tile_stored(1, sums->of[1], 64);
  } else {
    _tile_stored(2, sums->of[0], 64);
    if constexpr (kInt16) _tile_stored(3, sums->of[1], 64);
  }
}

// Adds the sums of group `g` times their scales to `totals`, one vector per row
// of x.
template <bool kInt16, WeightBytes kWeights>
HWY_INLINE void AddSums(const uint16_t* scales, const ActivationTile& x,
                        int64_t g, const TileSums& sums,
                        VF (&totals)[kTileRows]) {
  const VF scale = LoadScales(scales);
  const float* x_scales = x.activations->scales + x.Index(g);
  const int32_t* offsets = x.activations->offsets + x.Index(g);
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
    if constexpr (kInt16) {
      sum = hn::Add(hn::ShiftLeft<8>(sum),
                    hn::Load(kI, sums.of[1] + i * kPanelRows));
    }
    if constexpr (kWeights == WeightBytes::kUnsigned) {
      sum = hn::Add(sum, hn::Set(kI, offsets[i]));
    }
    const VF both = hn::Mul(scale, hn::Set(kF, x_scales[i]));
    totals[i] = hn::MulAdd(hn::ConvertTo(kF, sum), both, totals[i]);
  }
}

HWY_INLINE void PrefetchBytes(const uint8_t* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(from + at, 0, 2);
  }
}

HWY_INLINE void LoadChunkTotals(const ChunkPanels& w, const ChunkPanel& panel,
                                int64_t num_x, VF (&totals)[kTileRows]) {
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    totals[i] =
        w.is_first || i >= num_x
            ? hn::Zero(kF)
            : VF{_mm512_maskz_loadu_ps(panel.rows, panel.y + i * w.y_stride)};
  }
}

HWY_INLINE void StoreChunkTotals(const ChunkPanels& w, const ChunkPanel& panel,
                                 int64_t num_x, const VF (&totals)[kTileRows]) {
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    if (i < num_x) {
      _mm512_mask_storeu_ps(panel.y + i * w.y_stride, panel.rows,
                            totals[i].raw);
    }
  }
}

// One step of a pipeline: multiplies a block, stores the sums of the block
// before, and adds up those of the block before that, since tile instructions
// have a long latency. `ahead` is the first and `behind` the last of these
// blocks.
template <int kSet, bool kInt16, WeightBytes kWeights>
HWY_INLINE void RunStep(const ChunkPanels& w, const ActivationTile& x,
                        int64_t step, BlockCursor* ahead, BlockCursor* behind,
                        TileSums (&sums)[2], VF (&totals)[kTileRows]) {
  const int64_t steps = w.num * w.num_groups;
  if (step < steps) {
    const ChunkPanel& panel = w.of[ahead->panel];
    MultiplyBlockByTile<kSet, kInt16, kWeights>(
        panel.quants + ahead->group * kInt8BlockBytes, x, ahead->group);
    PrefetchBytes(panel.prefetched + ahead->group * w.prefetch_group_stride,
                  panel.prefetch_bytes);
    ahead->Next(w.num_groups);
  }
  if (step >= 2 && step - 2 < steps) {
    const ChunkPanel& panel = w.of[behind->panel];
    const int64_t g = behind->group;
    if (g == 0) LoadChunkTotals(w, panel, x.num, totals);
    AddSums<kInt16, kWeights>(panel.scales + g * w.scales_group_stride, x, g,
                              sums[kSet], totals);
    if (g + 1 == w.num_groups) StoreChunkTotals(w, panel, x.num, totals);
    behind->Next(w.num_groups);
  }
  if (step >= 1 && step - 1 < steps) {
    StoreSums<1 - kSet, kInt16>(&sums[1 - kSet]);
  }
}

// Multiplies a chunk by up to sixteen rows of x.
template <bool kInt16, WeightBytes kWeights>
void MultiplyChunkByTile(const ChunkPanels& w, const ActivationTile& x) {
  BlockCursor ahead, behind;
  TileSums sums[2];
  VF totals[kTileRows];
  for (int64_t step = 0; step < w.num * w.num_groups + 2; step += 2) {
    RunStep<0, kInt16, kWeights>(w, x, step, &ahead, &behind, sums, totals);
    RunStep<1, kInt16, kWeights>(w, x, step + 1, &ahead, &behind, sums, totals);
  }
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
