// SPDX-License-Identifier: Apache-2.0
// Matmul with row-major bf16 weights and one row of x, with AMX.

#if defined(RWKVD_CORE_KERNELS_AMX_BF16_GEMV_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_AMX_BF16_GEMV_INL_H_
#undef RWKVD_CORE_KERNELS_AMX_BF16_GEMV_INL_H_
#else
#define RWKVD_CORE_KERNELS_AMX_BF16_GEMV_INL_H_
#endif

#include "core/kernels/amx/bf16_gemm-inl.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#ifdef RWKVD_DOT_AMX

// Fills the parts of one step of a single row of x, 64 bytes each.
HWY_INLINE void FillXStepOfOneRow(const float* x, uint8_t* parts) {
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

// Multiplies one or two panels by one row of x. No prefetch instructions: the
// hardware prefetcher follows the rows of a panel better.
template <bool kTwoPanels>
HWY_INLINE void MultiplyPanelsByOneX(const WeightTiles& w, const uint8_t* x,
                                     int64_t steps, float* y) {
  const uint8_t* w0 = w.first;
  _tile_zero(0);
  if constexpr (kTwoPanels) _tile_zero(1);
  for (int64_t step = 0; step < steps; ++step, w0 += w.step_bytes) {
    _tile_loadd(4, w0, w.stride);
    if constexpr (kTwoPanels) _tile_loadd(5, w0 + w.panel_bytes, w.stride);
    HWY_UNROLL(3)
    for (int part = 0; part < kParts; ++part, x += 64) {
      _tile_loadd(6, x, 4);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kTwoPanels) _tile_dpbf16ps(1, 5, 6);
    }
  }
  _tile_stored(0, y, 4);
  if constexpr (kTwoPanels) _tile_stored(1, y + kTileRows, 4);
}

// Weight rows [row, row_end) times one row of x, whose parts are in `x`.
void MultiplyRowsByOneX(const MatMulArgs& args, int64_t row, int64_t row_end,
                        const uint8_t* x) {
  const int64_t steps = args.cols / kStepCols;
  ConfigureTiles(kTileRows, 1);
  for (; row + 2 * kTileRows <= row_end; row += 2 * kTileRows) {
    MultiplyPanelsByOneX<true>(WeightsAsStored(args, row), x, steps,
                               args.y + row);
  }
  for (; row < row_end; row += kTileRows) {
    const int64_t rows = HWY_MIN(row_end - row, kTileRows);
    if (rows < kTileRows) ConfigureTiles(rows, 1);
    MultiplyPanelsByOneX<false>(WeightsAsStored(args, row), x, steps,
                                args.y + row);
  }
}

// Elements [row_begin, row_end) of y, for one row of x.
void Bf16RowMajorGemv(const MatMulArgs& args, int64_t row_begin,
                      int64_t row_end) {
  alignas(64) uint8_t parts[kXBytes];
  for (int64_t c = 0; c < args.cols; c += kStepCols) {
    FillXStepOfOneRow(args.x + c, parts + c / kStepCols * kParts * 64);
  }
  MultiplyRowsByOneX(args, row_begin, row_end, parts);
  _tile_release();
}

#endif  // RWKVD_DOT_AMX

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
