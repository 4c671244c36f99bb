// SPDX-License-Identifier: Apache-2.0
// Products of bf16 weights by Intel's matrix extension: for one row of x, and
// the way in for all.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_DECODE_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_DECODE_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_DECODE_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_DECODE_INL_H_
#endif

#include <string.h>

#include "core/kernels/amx_bf16-inl.h"
#include "core/kernels/kernels.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// A step of a single row of x: 64 bytes for each part.
HWY_INLINE void FillStepOfOne(const float* x, uint8_t* parts) {
  __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
  HWY_UNROLL(3)
  for (int part = 0; part < kParts; ++part) {
    uint8_t* const to = parts + part * 64;
    _mm256_store_si256(
        reinterpret_cast<__m256i*>(to),
        _mm512_cvtepi32_epi16(_mm512_srli_epi32(TakePart(&a), 16)));
    _mm256_store_si256(
        reinterpret_cast<__m256i*>(to + 32),
        _mm512_cvtepi32_epi16(_mm512_srli_epi32(TakePart(&b), 16)));
  }
}

// A strip or two for one row of x. The processor foresees rows side by side
// better than it could be told.
template <bool kTwoStrips>
HWY_INLINE void MultiplyStripsByOne(const WeightTiles& w, const uint8_t* x,
                                    int64_t steps, float* y) {
  const uint8_t* w0 = w.first;
  _tile_zero(0);
  if constexpr (kTwoStrips) _tile_zero(1);
  for (int64_t step = 0; step < steps; ++step, w0 += w.step_bytes) {
    _tile_loadd(4, w0, w.stride);
    if constexpr (kTwoStrips) _tile_loadd(5, w0 + w.strip_bytes, w.stride);
    HWY_UNROLL(3)
    for (int part = 0; part < kParts; ++part, x += 64) {
      _tile_loadd(6, x, 4);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kTwoStrips) _tile_dpbf16ps(1, 5, 6);
    }
  }
  _tile_stored(0, y, 4);
  if constexpr (kTwoStrips) _tile_stored(1, y + kTileRows, 4);
}

// Rows for one row of x, whose parts are in `x`.
void MultiplyByOne(const MatMulArgs& args, int64_t row, int64_t row_end,
                   const uint8_t* x) {
  const int64_t steps = args.cols / kStepCols;
  ConfigureTiles(kTileRows, 1);
  for (; row + 2 * kTileRows <= row_end; row += 2 * kTileRows) {
    MultiplyStripsByOne<true>(RowsInPlace(args, row), x, steps, args.y + row);
  }
  for (; row < row_end; row += kTileRows) {
    const int64_t rows = HWY_MIN(row_end - row, kTileRows);
    if (rows < kTileRows) ConfigureTiles(rows, 1);
    MultiplyStripsByOne<false>(RowsInPlace(args, row), x, steps, args.y + row);
  }
}

// Adds to one of the registers of sums a step of a strip that is stored as
// columns, times one row of x. Weights and x change places: the products are
// the same, and so are their sums.
template <int kSums>
HWY_INLINE void AddColumnsStep(const uint8_t* tile, const uint8_t* parts) {
  _tile_loadd(6, tile, 64);
  HWY_UNROLL(3)
  for (int part = 0; part < kParts; ++part) {
    _tile_loadd(4, parts + part * 64, 64);
    if constexpr (kSums == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (kSums == 1) _tile_dpbf16ps(1, 4, 6);
    if constexpr (kSums == 2) _tile_dpbf16ps(2, 4, 6);
    if constexpr (kSums == 3) _tile_dpbf16ps(3, 4, 6);
  }
}

// Of a step's columns, as many bytes as `rows` rows take.
HWY_INLINE void FetchColumns(const uint8_t* column, int64_t stride,
                             int64_t rows) {
  for (int64_t c = 0; c < kStepCols; ++c, column += stride) {
    for (int64_t at = 0; at < rows * 2; at += 64) {
      __builtin_prefetch(column + at, 0, 2);
    }
  }
}

// Four strips of columns for one row of x, of which `rows` rows are there. Of
// each column, fetches `fetched` rows a step ahead.
void MultiplyFourStripsByOne(const MatMulArgs& args, int64_t row, int64_t rows,
                             int64_t fetched, const uint8_t* x) {
  const int64_t stride = args.w_stride * 2;
  alignas(64) uint8_t tiles[4][kTileBytes];
  alignas(64) float sums[4][kTileRows];
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t c = 0; c < args.cols; c += kStepCols, x += kParts * 64) {
    const uint8_t* const column = WeightAt(args, row, c);
    FetchColumns(column + kStepCols * stride, stride, fetched);
    for (int64_t strip = 0; strip * kTileRows < rows; ++strip) {
      __m512i pairs[16];
      PairColumns(column + strip * kTileRows * 2, stride,
                  rows - strip * kTileRows, pairs);
      StoreTile(pairs, tiles[strip]);
    }
    FinishWriting();
    AddColumnsStep<0>(tiles[0], x);
    if (rows > kTileRows) AddColumnsStep<1>(tiles[1], x);
    if (rows > 2 * kTileRows) AddColumnsStep<2>(tiles[2], x);
    if (rows > 3 * kTileRows) AddColumnsStep<3>(tiles[3], x);
  }
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  _tile_stored(2, sums[2], 64);
  _tile_stored(3, sums[3], 64);
  memcpy(args.y + row, sums, rows * sizeof(float));
}

void MultiplyColumnsByOne(const MatMulArgs& args, int64_t row, int64_t row_end,
                          const uint8_t* x) {
  constexpr int64_t kRows = 4 * kTileRows;
  int64_t fetched = row_end - row;
  FetchColumns(WeightAt(args, row, 0), args.w_stride * 2, fetched);
  ConfigureTiles(1, kTileRows);
  for (; row < row_end; row += kRows, fetched = 0) {
    MultiplyFourStripsByOne(args, row, HWY_MIN(row_end - row, kRows), fetched,
                            x);
  }
}

// Whether tiles are to multiply a matrix: it depends on the matrix alone, for
// they round otherwise than vectors do.
bool TakesTiles(const MatMulArgs& args) {
  constexpr int64_t kMaxCols = kXBytes / kParts / 2;
  constexpr int64_t kMaxColsOfColumns = kFromColumnsBytes / 2 / 32;
  return args.dtype == DType::kBF16 && args.cols > 0 &&
         args.cols % kStepCols == 0 &&
         args.cols <= (args.transposed ? kMaxColsOfColumns : kMaxCols);
}

void MultiplyBf16ByOne(const MatMulArgs& args, int64_t row_begin,
                       int64_t row_end) {
  alignas(64) uint8_t parts[kXBytes];
  for (int64_t c = 0; c < args.cols; c += kStepCols) {
    FillStepOfOne(args.x + c, parts + c / kStepCols * kParts * 64);
  }
  if (args.transposed) {
    MultiplyColumnsByOne(args, row_begin, row_end, parts);
  } else {
    MultiplyByOne(args, row_begin, row_end, parts);
  }
}

// Rows [row_begin, row_end) of the product. False if tiles do not take it.
bool MatMulWithTiles(const MatMulArgs& args, int64_t row_begin,
                     int64_t row_end) {
  if (!TakesTiles(args)) return false;
  if (args.num_x == 1) {
    MultiplyBf16ByOne(args, row_begin, row_end);
  } else {
    MultiplyBf16ByMany(args, row_begin, row_end);
  }
  _tile_release();
  return true;
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
