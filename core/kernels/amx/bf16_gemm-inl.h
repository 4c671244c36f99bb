// SPDX-License-Identifier: Apache-2.0
// Matmul with bf16 weights and several rows of x, with AMX.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_GEMM_INL_H_
#endif

#include "core/kernels/amx/bf16_tiles-inl.h"
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
