// SPDX-License-Identifier: Apache-2.0
// Quantized matmul with column blocks and many rows of x: some groups at a time
// are repacked into row panels.

#if defined(RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_COLUMN_BLOCKS_INL_H_
#endif

#include <string.h>

#include "core/kernels/gemm/tiling.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/quant/row_panels-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// Four vectors with a lane for each of kLanes * 4 rows: a quad (four columns, a
// byte each), or sums. The rows are in order, or in the order that Interleave
// leaves: the 128 bits number b of vector j hold the rows 16 b + 4 j to
// 16 b + 4 j + 3.
struct FourVectors {
  VI v[4];
};

// Returns four columns of kLanes * 4 rows, a byte each, as a quad.
HWY_INLINE FourVectors Interleave(VI a, VI b, VI c, VI d) {
  const hn::Repartition<uint8_t, DI> d8;
  const hn::Repartition<uint16_t, DI> d16;
  const auto a8 = hn::BitCast(d8, a), b8 = hn::BitCast(d8, b),
             c8 = hn::BitCast(d8, c), e8 = hn::BitCast(d8, d);
  const auto ab0 = hn::BitCast(d16, hn::InterleaveLower(d8, a8, b8));
  const auto ab1 = hn::BitCast(d16, hn::InterleaveUpper(d8, a8, b8));
  const auto cd0 = hn::BitCast(d16, hn::InterleaveLower(d8, c8, e8));
  const auto cd1 = hn::BitCast(d16, hn::InterleaveUpper(d8, c8, e8));
  return {{hn::BitCast(kI, hn::InterleaveLower(d16, ab0, cd0)),
           hn::BitCast(kI, hn::InterleaveUpper(d16, ab0, cd0)),
           hn::BitCast(kI, hn::InterleaveLower(d16, ab1, cd1)),
           hn::BitCast(kI, hn::InterleaveUpper(d16, ab1, cd1))}};
}

// Returns the quad of four columns of a column block that starts at `p`.
HWY_INLINE FourVectors LoadQuad(const uint8_t* p) {
  return Interleave(LoadBytes(p), LoadBytes(p + kBlockColumnBytes),
                    LoadBytes(p + 2 * kBlockColumnBytes),
                    LoadBytes(p + 3 * kBlockColumnBytes));
}

// Returns `q`, in Interleave's order, in the order of rows.
HWY_INLINE FourVectors ToRowOrder(const FourVectors& q) {
#if HWY_MAX_BYTES == 64
  const __m512i a = _mm512_shuffle_i32x4(q.v[0].raw, q.v[1].raw, 0x44);
  const __m512i b = _mm512_shuffle_i32x4(q.v[2].raw, q.v[3].raw, 0x44);
  const __m512i c = _mm512_shuffle_i32x4(q.v[0].raw, q.v[1].raw, 0xee);
  const __m512i d = _mm512_shuffle_i32x4(q.v[2].raw, q.v[3].raw, 0xee);
  return {{VI{_mm512_shuffle_i32x4(a, b, 0x88)},
           VI{_mm512_shuffle_i32x4(a, b, 0xdd)},
           VI{_mm512_shuffle_i32x4(c, d, 0x88)},
           VI{_mm512_shuffle_i32x4(c, d, 0xdd)}}};
#elif HWY_MAX_BYTES == 32
  return {{VI{_mm256_permute2x128_si256(q.v[0].raw, q.v[1].raw, 0x20)},
           VI{_mm256_permute2x128_si256(q.v[2].raw, q.v[3].raw, 0x20)},
           VI{_mm256_permute2x128_si256(q.v[0].raw, q.v[1].raw, 0x31)},
           VI{_mm256_permute2x128_si256(q.v[2].raw, q.v[3].raw, 0x31)}}};
#else
  return q;
#endif
}

// Returns the row of a column block whose weight is at byte `at` of a column;
// int4: in the low nibble.
template <QuantType kType>
constexpr int64_t RowAtByte(int64_t at) {
  return kType == QuantType::kInt8 ? at : at / 64 * 128 + at % 64;
}

// Stores a quad of the rows from `row` on to the panels at `to`, each byte
// XORed with `sign_flip`.
HWY_INLINE void StoreQuad(const FourVectors& quad, int64_t row,
                          int64_t panel_stride, VI sign_flip, uint8_t* to) {
  const FourVectors ordered = ToRowOrder(quad);
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j, row += kLanes) {
    StoreBytes(
        hn::Xor(ordered.v[j], sign_flip),
        to + row / kPanelRows * panel_stride + row % kPanelRows * kQuadCols);
  }
}

// Prefetches bytes [at, at + kVectorBytes) of the columns of a quad's successor
// in the next group, in memory order.
HWY_INLINE void PrefetchNextGroup(const uint8_t* quad, int64_t at) {
  const uint8_t* const next =
      quad + kGroupCols * kBlockColumnBytes + kQuadCols * at;
  for (int64_t line = 0; line < kQuadCols * kVectorBytes; line += 64) {
    __builtin_prefetch(next + line, 0, 2);
  }
}

// Unpacks one group of a column block into an int8 block of each of its panels,
// whose bytes are XORed with `sign_flip`.
template <QuantType kType>
void UnpackToInt8Panels(const uint8_t* columns, int64_t panel_stride,
                        VI sign_flip, uint8_t* to) {
  for (int64_t c = 0; c < kGroupCols; c += kQuadCols) {
    for (int64_t at = 0; at < kBlockColumnBytes; at += kVectorBytes) {
      const uint8_t* p = columns + c * kBlockColumnBytes;
      PrefetchNextGroup(p, at);
      const FourVectors quad = LoadQuad(p + at);
      const int64_t row = RowAtByte<kType>(at);
      if constexpr (kType == QuantType::kInt8) {
        StoreQuad(quad, row, panel_stride, sign_flip, to);
      } else {
        FourVectors low = {}, high = {};
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          low.v[j] = LowNibblesTimes16(quad.v[j]);
          high.v[j] = HighNibblesTimes16(quad.v[j]);
        }
        StoreQuad(low, row, panel_stride, sign_flip, to);
        StoreQuad(high, row + 64, panel_stride, sign_flip, to);
      }
    }
    to += kQuadBytes;
  }
}

// Repacks one group of an int4 column block into an int4 block of each of its
// panels.
void RepackToInt4Panels(const uint8_t* columns, int64_t panel_stride,
                        uint8_t* to) {
  for (int64_t c = 0; c < kGroupCols; c += 2 * kQuadCols) {
    for (int64_t at = 0; at < kBlockColumnBytes; at += kVectorBytes) {
      const uint8_t* p = columns + c * kBlockColumnBytes;
      const uint8_t* q = p + kQuadCols * kBlockColumnBytes;
      PrefetchNextGroup(p, at);
      PrefetchNextGroup(q, at);
      const FourVectors a = LoadQuad(p + at), b = LoadQuad(q + at);
      FourVectors low = {}, high = {};
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        low.v[j] = hn::Or(LowNibbles(a.v[j]), LowNibblesTimes16(b.v[j]));
        high.v[j] = hn::Or(HighNibbles(a.v[j]), HighNibblesTimes16(b.v[j]));
      }
      const int64_t row = RowAtByte<QuantType::kInt4>(at);
      StoreQuad(low, row, panel_stride, hn::Zero(kI), to);
      StoreQuad(high, row + 64, panel_stride, hn::Zero(kI), to);
    }
    to += kQuadBytes;
  }
}

// Multiplies a column block by all rows of x.
template <QuantType kType>
void MultiplyColumnBlock(const QuantizedMatMulArgs& args, int64_t block) {
  const QuantizedWeights& w = args.w;
  constexpr int64_t kRows = PackedBlockRows(kType, QuantOrder::kColumnBlocks);
  constexpr int64_t kPanels = kRows / kPanelRows;
  constexpr int64_t kBytes = BlockBytes(kType);
  constexpr int64_t kScratchBytes = Tiling::kColumnBlockScratchBytes;
  constexpr int64_t kChunkGroups = kScratchBytes / (kPanels * kBytes);
  const int64_t groups = args.x.groups();
  const int64_t rows = w.rows - block * kRows;
  const int64_t panels =
      rows >= kRows ? kPanels : (rows + kPanelRows - 1) / kPanelRows;
  alignas(64) uint8_t scratch[kScratchBytes];
  for (int64_t g = 0; g < groups; g += kChunkGroups) {
    const int64_t some = groups - g < kChunkGroups ? groups - g : kChunkGroups;
    const int64_t stride = some * kBytes;
    for (int64_t i = 0; i < some; ++i) {
      const uint8_t* const columns =
          w.quants +
          (block * w.cols + (g + i) * kGroupCols) * kBlockColumnBytes;
      if constexpr (kType == QuantType::kInt4) {
        RepackToInt4Panels(columns, stride, scratch + i * kBytes);
      } else {
        UnpackToInt8Panels<kType>(columns, stride, hn::Zero(kI),
                                  scratch + i * kBytes);
      }
    }
    MultiplyPanels<kType, false>(
        {.quants = scratch,
         .quants_stride = stride,
         .scales = w.scales + (block * groups + g) * kRows,
         .scales_stride = kPanelRows,
         .scales_group_stride = kRows},
        panels, {&args.x, g, some}, g == 0, rows, args.y + block * kRows,
        args.y_stride);
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
