// SPDX-License-Identifier: Apache-2.0
// How bf16 weights and x are laid out in tiles.
//
// A tile instruction multiplies bf16 by bf16 and adds up in f32. An f32 is the
// exact sum of three bf16, with eight bits of its significand each, so each x
// is split into three parts. For every 32 columns, in order, a sum of y takes
// the products with the high parts, the middle parts and the low parts: the
// same instructions however many rows of x or of weights there are, so the
// results are batch-invariant.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_TILES_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_TILES_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_TILES_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_TILES_INL_H_
#endif

#include "core/kernels/amx/tile-inl.h"
#include "core/kernels/extensions-inl.h"
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
// kernels, is then as large as kXBytes. It influences results: see UsesTiles.
constexpr int64_t kMaxCols = kXBytes / kParts / 2;

// Rows of weights, and panels of sixteen, that share a chunk of x.
constexpr int64_t kChunkRows = Tiling::kAmxBf16ChunkRows;
constexpr int64_t kChunkPanels = kChunkRows / kTileRows;

// Bytes of column-major weights that are packed into tiles at a time: at least
// one panel.
constexpr int64_t kPackedBytes = kMaxCols * 2 * kTileRows;

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

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
