// SPDX-License-Identifier: Apache-2.0
// Matmul with bf16 weights and several rows of x, with AMX.
//
// A tile instruction multiplies bf16 by bf16 and adds up in f32. An f32 is the
// exact sum of three bf16, with eight bits of its significand each, so each x
// is split into three parts. For every 32 columns, in order, a sum of y takes
// the products with the high parts, the middle parts and the low parts: the
// same instructions however many rows of x or of weights there are, so the
// results are batch-invariant.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#endif

#include "core/kernels/amx/tile-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/tiling.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A step is the 32 columns that one tile instruction multiplies. A tile of
// weights holds a step of a panel, sixteen rows; a tile of x, for each pair of
// columns, that pair of sixteen rows of x; a tile of sums, for each row of
// weights, the sixteen rows of x.
constexpr int64_t kStepCols = 32;
constexpr int kParts = 3;

// Columns of x that are split into parts at a time, for two tiles of rows, and
// the bytes of all parts of one of these tiles.
constexpr int64_t kChunkCols = Tiling::kAmxBf16ChunkCols;
constexpr int64_t kXBytes = kChunkCols / kStepCols * kParts * kTileBytes;

// The widest matrix that AMX multiplies: one row of x in parts, for the GEMV
// kernels, is then as large as kXBytes. Part of the results, see UsesTiles.
constexpr int64_t kMaxCols = kXBytes / kParts / 2;

// Rows of weights, and panels of sixteen, that share a chunk of x.
constexpr int64_t kChunkRows = Tiling::kAmxBf16ChunkRows;
constexpr int64_t kChunkPanels = kChunkRows / kTileRows;

// Bytes of column-major weights that are packed into tiles at a time: at least
// one panel.
constexpr int64_t kPackedBytes = kMaxCols * 2 * kTileRows;

// ---- Filling tiles.

// Returns the bits of x that fit a bf16, in the upper half of each lane, and
// leaves the rest in x.
HWY_INLINE __m512i TakePart(__m512* x) {
  const __m512i part = _mm512_and_si512(
      _mm512_castps_si512(*x), _mm512_set1_epi32(static_cast<int>(0xffff0000)));
  *x = _mm512_sub_ps(*x, _mm512_castsi512_ps(part));
  return part;
}

// Fills the tiles of x, one for each part, with one step of sixteen rows, of
// which `num` exist.
HWY_INLINE void FillXStep(const float* x, int64_t stride, int64_t num,
                          uint8_t* tiles) {
  __m512i even[16], odd[16];
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i) {
    const __mmask16 all = i < num ? 0xffff : 0;
    even[i] = _mm512_maskz_loadu_epi32(all, x + i * stride);
    odd[i] = _mm512_maskz_loadu_epi32(all, x + i * stride + 16);
  }
  Transpose(even);
  Transpose(odd);
  // `even` now holds columns 0 to 15, `odd` 16 to 31.
  for (int half = 0; half < 2; ++half) {
    const __m512i* const columns = half == 0 ? even : odd;
    for (int pair = 0; pair < 8; ++pair) {
      __m512 a = _mm512_castsi512_ps(columns[2 * pair]);
      __m512 b = _mm512_castsi512_ps(columns[2 * pair + 1]);
      HWY_UNROLL(3)
      for (int part = 0; part < kParts; ++part) {
        const __m512i first = _mm512_srli_epi32(TakePart(&a), 16);
        const __m512i both = _mm512_or_si512(first, TakePart(&b));
        _mm512_store_si512(tiles + part * kTileBytes + (8 * half + pair) * 64,
                           both);
      }
    }
  }
}

// Loads a step of sixteen rows of column-major weights, of which `rows` exist,
// in the layout of a tile of x.
HWY_INLINE void PairColumns(const uint8_t* column, int64_t stride, int64_t rows,
                            __m512i (&pairs)[16]) {
  const __mmask16 mask = FirstRows(rows);
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i, column += 2 * stride) {
    const __m512i first =
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, column));
    const __m512i second =
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, column + stride));
    pairs[i] = _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
  }
}

HWY_INLINE void StoreTile(const __m512i (&rows)[16], uint8_t* tile) {
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i) _mm512_store_si512(tile + i * 64, rows[i]);
}

// ---- Multiplying.

// Panels of sixteen rows of weights, tile by tile: row-major weights as stored,
// or packed column-major weights.
struct WeightTiles {
  const uint8_t* first;
  int64_t stride;       // bytes from one row of a tile to the next
  int64_t step_bytes;   // bytes from one step's tile to the next
  int64_t panel_bytes;  // bytes from one panel to the next
};

// One chunk of columns of up to 32 rows of x, in one or two tiles of rows.
struct XTiles {
  const uint8_t* tiles[2];
  int64_t first_row;
  int64_t num;  // rows
  int64_t first_col = 0;
  int64_t num_cols = 0;
};

// Configures the tile registers: 0 to 3 for sums of `rows` rows of weights and
// `num` of x, 4 and 5 for the weights, 6 and 7 for pairs of columns of x.
void ConfigureTiles(int64_t rows, int64_t num) {
  TileConfig config;
  for (const int sums : {0, 1, 2, 3}) {
    config.rows[sums] = static_cast<uint8_t>(rows);
    config.row_bytes[sums] = static_cast<uint16_t>(num * 4);
  }
  for (const int factor : {4, 5}) {
    config.rows[factor] = static_cast<uint8_t>(rows);
  }
  for (const int factor : {6, 7}) {
    config.row_bytes[factor] = static_cast<uint16_t>(num * 4);
  }
  LoadConfig(config);
}

// The sums of a chunk's panels with both tiles of x, kept between chunks of
// columns.
struct SumTiles {
  alignas(64) float of[2][kChunkPanels + 1][kTileRows * kTileRows];
};

// Loads the sums of two panels with both tiles of x into registers 0 to 3.
HWY_INLINE void LoadBf16Sums(bool is_first, const SumTiles& from,
                             int64_t panel) {
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  _tile_loadd(0, from.of[0][panel], 64);
  _tile_loadd(1, from.of[0][panel + 1], 64);
  _tile_loadd(2, from.of[1][panel], 64);
  _tile_loadd(3, from.of[1][panel + 1], 64);
}

// Stores what LoadBf16Sums loaded, of one or two panels.
template <bool kTwoPanels>
HWY_INLINE void StoreBf16Sums(int64_t panel, SumTiles* to) {
  _tile_stored(0, to->of[0][panel], 64);
  _tile_stored(2, to->of[1][panel], 64);
  if constexpr (kTwoPanels) {
    _tile_stored(1, to->of[0][panel + 1], 64);
    _tile_stored(3, to->of[1][panel + 1], 64);
  }
}

// Adds `steps` steps of one or two panels, with one or two tiles of x.
template <bool kTwoPanels, bool kTwoOfX>
HWY_INLINE void AddSteps(const WeightTiles& w, const uint8_t* x0,
                         const uint8_t* x1, int64_t steps) {
  const uint8_t* w0 = w.first;
  for (int64_t step = 0; step < steps; ++step, w0 += w.step_bytes) {
    _tile_loadd(4, w0, w.stride);
    if constexpr (kTwoPanels) _tile_loadd(5, w0 + w.panel_bytes, w.stride);
    HWY_UNROLL(3)
    for (int part = 0; part < kParts; ++part) {
      _tile_loadd(6, x0, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kTwoPanels) _tile_dpbf16ps(1, 5, 6);
      if constexpr (kTwoOfX) {
        _tile_loadd(7, x1, 64);
        _tile_dpbf16ps(2, 4, 7);
        if constexpr (kTwoPanels) _tile_dpbf16ps(3, 5, 7);
      }
      x0 += kTileBytes;
      x1 += kTileBytes;
    }
  }
}

// Writes a tile of sums, of `rows` rows of weights and `num` of x, to y.
void StoreY(const float* sums, int64_t rows, int64_t num, float* y,
            int64_t stride) {
  __m512i v[16];
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i) v[i] = _mm512_load_si512(sums + i * kTileRows);
  Transpose(v);
  const __mmask16 mask = FirstRows(rows);
  HWY_UNROLL(16)
  for (int i = 0; i < 16; ++i) {
    if (i < num) _mm512_mask_storeu_epi32(y + i * stride, mask, v[i]);
  }
}

// Returns where a weight is stored.
const uint8_t* WeightAt(const MatMulArgs& args, int64_t row, int64_t col) {
  const int64_t at =
      args.transposed ? col * args.w_stride + row : row * args.w_stride + col;
  return static_cast<const uint8_t*>(args.w) + at * 2;
}

// Row-major weights from `row` on.
WeightTiles WeightsAsStored(const MatMulArgs& args, int64_t row) {
  const int64_t stride = args.w_stride * 2;
  return {WeightAt(args, row, 0), stride, kStepCols * 2, kTileRows * stride};
}

// Packs rows [row, row + rows) of column-major weights into `scratch`.
WeightTiles PackColumns(const MatMulArgs& args, int64_t row, int64_t rows,
                        uint8_t* scratch) {
  uint8_t* tile = scratch;
  for (int64_t r = 0; r < rows; r += kTileRows) {
    for (int64_t c = 0; c < args.cols; c += kStepCols, tile += kTileBytes) {
      __m512i pairs[16];
      PairColumns(WeightAt(args, row + r, c), args.w_stride * 2, rows - r,
                  pairs);
      Transpose(pairs);
      StoreTile(pairs, tile);
    }
  }
  return {scratch, 64, kTileBytes, args.cols / kStepCols * kTileBytes};
}

// Multiplies one or two panels by one chunk of columns of x. `rows` rows of the
// last panel exist.
template <bool kTwoPanels>
void MultiplyBf16Panels(const MatMulArgs& args, const XTiles& x,
                        const WeightTiles& w, int64_t row, int64_t panel,
                        int64_t rows, SumTiles* sums) {
  WeightTiles at = w;
  at.first += panel * w.panel_bytes + x.first_col / kStepCols * w.step_bytes;
  const int64_t steps = x.num_cols / kStepCols;
  LoadBf16Sums(x.first_col == 0, *sums, panel);
  if (x.num > kTileRows) {
    AddSteps<kTwoPanels, true>(at, x.tiles[0], x.tiles[1], steps);
  } else {
    AddSteps<kTwoPanels, false>(at, x.tiles[0], x.tiles[0], steps);
  }
  StoreBf16Sums<kTwoPanels>(panel, sums);
  if (x.first_col + x.num_cols < args.cols) return;
  for (int64_t i = 0; i * kTileRows < x.num; ++i) {
    for (int64_t j = 0; j < (kTwoPanels ? 2 : 1); ++j) {
      float* const y = args.y + (x.first_row + i * kTileRows) * args.y_stride +
                       row + (panel + j) * kTileRows;
      StoreY(sums->of[i][panel + j], rows, x.num - i * kTileRows, y,
             args.y_stride);
    }
  }
}

// Multiplies weight rows [row, row + rows), at most kChunkRows, by one chunk of
// columns of x.
void MultiplyBf16Chunk(const MatMulArgs& args, const XTiles& x,
                       const WeightTiles& w, int64_t row, int64_t rows,
                       SumTiles* sums) {
  const int64_t panels = rows / kTileRows, left = rows % kTileRows;
  ConfigureTiles(kTileRows, kTileRows);
  int64_t panel = 0;
  for (; panel + 2 <= panels; panel += 2) {
    MultiplyBf16Panels<true>(args, x, w, row, panel, kTileRows, sums);
  }
  for (; panel < panels; ++panel) {
    MultiplyBf16Panels<false>(args, x, w, row, panel, kTileRows, sums);
  }
  if (left == 0) return;
  ConfigureTiles(left, kTileRows);
  MultiplyBf16Panels<false>(args, x, w, row, panel, left, sums);
}

// Multiplies weight rows [row, row + rows), at most kChunkRows, by all rows of
// x.
void MultiplyBf16Rows(const MatMulArgs& args, const WeightTiles& w, int64_t row,
                      int64_t rows) {
  alignas(64) uint8_t tiles[2][kXBytes];
  SumTiles sums;
  for (int64_t first = 0; first < args.num_x; first += 2 * kTileRows) {
    XTiles x = {{tiles[0], tiles[1]},
                first,
                HWY_MIN(args.num_x - first, 2 * kTileRows)};
    for (; x.first_col < args.cols; x.first_col += x.num_cols) {
      x.num_cols = HWY_MIN(args.cols - x.first_col, kChunkCols);
      for (int64_t i = 0; i * kTileRows < x.num; ++i) {
        const int64_t at = first + i * kTileRows;
        for (int64_t c = 0; c < x.num_cols; c += kStepCols) {
          FillXStep(args.x + at * args.x_stride + x.first_col + c,
                    args.x_stride, args.num_x - at,
                    tiles[i] + c / kStepCols * kParts * kTileBytes);
        }
      }
      MultiplyBf16Chunk(args, x, w, row, rows, &sums);
    }
  }
}

// Rows [row_begin, row_end) of y, for several rows of x.
void Bf16Gemm(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  alignas(64) uint8_t packed[kPackedBytes];
  const int64_t fitting = kPackedBytes / 2 / args.cols / kTileRows * kTileRows;
  const int64_t most =
      args.transposed ? HWY_MIN(kChunkRows, fitting) : kChunkRows;
  for (int64_t row = row_begin; row < row_end; row += most) {
    const int64_t rows = HWY_MIN(most, row_end - row);
    MultiplyBf16Rows(args,
                     args.transposed ? PackColumns(args, row, rows, packed)
                                     : WeightsAsStored(args, row),
                     row, rows);
  }
  _tile_release();
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
