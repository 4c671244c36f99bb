// SPDX-License-Identifier: Apache-2.0
// Matrix products.

#if defined(RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#endif

#include "core/kernels/elementwise-inl.h"
#include "core/kernels/gemm/col_major_gemm-inl.h"
#include "core/kernels/gemm/col_major_gemv-inl.h"
#include "core/kernels/kernel_table.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kPageBytes = 4096;

// At least so many bytes ahead are weights fetched: what memory needs to
// answer. Not much more, for the second-level cache forgets.
constexpr size_t kFetchedAhead = 4096;

// The totals of four vectors, added up as Total does.
HWY_INLINE void StoreTotals(VF a, VF b, VF c, VF d, float* totals) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
  const auto halves = [](VF v, VF w) HWY_ATTR {
    return _mm512_add_ps(_mm512_shuffle_f32x4(v.raw, w.raw, 0x44),
                         _mm512_shuffle_f32x4(v.raw, w.raw, 0xee));
  };
  const __m512 ab = halves(a, b), cd = halves(c, d);
  const __m512 quarters = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                                        _mm512_shuffle_f32x4(ab, cd, 0xdd));
  const __m512 pairs =
      _mm512_add_ps(quarters, _mm512_permute_ps(quarters, 0x4e));
  const __m512 whole = _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0xb1));
  // The first lane of each 128 bits.
  _mm_storeu_ps(
      totals, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, whole)));
#else
  totals[0] = Total(a);
  totals[1] = Total(b);
  totals[2] = Total(c);
  totals[3] = Total(d);
#endif
}

// 4 x 6 sums, 4 weights and an x fit the 32 registers of AVX-512; 4 x 3 sums,
// 3 of x and a weight the 16 of others.
constexpr int kMaxX = HWY_MAX_BYTES == 64 ? 6 : 3;
constexpr int64_t kWeightRows = 4;

// Columns [begin, end) of a product; begin is a multiple of kLanes, and so is
// end, unless it is the last. `sums` holds a tile's, vector by vector.
struct Stretch {
  size_t begin = 0;
  size_t end = 0;
  float* sums = nullptr;
};

// A tile of weight rows times x rows, in registers. Every sum runs over the
// columns in one order, a vector at a time and then across its lanes, however
// large the tile: this makes the product batch-invariant.
// With kInStretches, does some of the columns, and keeps the sums until the
// last.
template <DType kType, bool kFetchAhead, int kRows, int kX,
          bool kInStretches = false>
HWY_INLINE void MatMulTile(const MatMulArgs& args, int64_t row, int64_t x_row,
                           const Stretch& stretch = {}) {
  const size_t cols = kInStretches ? stretch.end : args.cols;
  const size_t row_bytes = args.w_stride * Weight<kType>::kBytes;
  const uint8_t* w = static_cast<const uint8_t*>(args.w) + row * row_bytes;
  const float* x = args.x + x_row * args.x_stride;

  VF sums[kRows][kX];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      sums[r][i] = kInStretches && stretch.begin > 0
                       ? hn::Load(kF, stretch.sums + (r * kX + i) * kLanes)
                       : hn::Zero(kF);
    }
  }
  const auto add = [&](size_t c) HWY_ATTR {
    const auto weights = [&](int r) HWY_ATTR {
      return Weight<kType>::Load(w + r * row_bytes + c * Weight<kType>::kBytes);
    };
    if constexpr (kX < kRows) {
      VF xs[kX];
      HWY_UNROLL(8)
      for (int i = 0; i < kX; ++i) {
        xs[i] = hn::LoadU(kF, x + i * args.x_stride + c);
      }
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const VF row = weights(r);
        HWY_UNROLL(8)
        for (int i = 0; i < kX; ++i) {
          sums[r][i] = hn::MulAdd(row, xs[i], sums[r][i]);
        }
      }
      return;
    }
    VF rows[kRows];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) rows[r] = weights(r);
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF xs = hn::LoadU(kF, x + i * args.x_stride + c);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        sums[r][i] = hn::MulAdd(rows[r], xs, sums[r][i]);
      }
    }
  };
  size_t c = kInStretches ? stretch.begin : 0;
  if constexpr (kFetchAhead) {
    // A step uses whole cache lines, and fetches as many of what comes, in the
    // order in which it lies in memory, into the second-level cache.
    constexpr size_t kVectorBytes = kRows * kLanes * Weight<kType>::kBytes;
    constexpr size_t kVectors = HWY_MAX(kLineBytes / kVectorBytes, 1);
    constexpr size_t kStepBytes = kVectors * kVectorBytes;
    const uint8_t* ahead =
        w + HWY_MAX(kFetchedAhead, kRows == 1 ? 0 : kRows * row_bytes);
    while (c + kVectors * kLanes <= cols) {
      HWY_UNROLL(8)
      for (size_t at = 0; at < kStepBytes; at += kLineBytes) {
        __builtin_prefetch(ahead + at, /*rw=*/0, /*locality=*/2);
      }
      ahead += kStepBytes;
      HWY_UNROLL(8)
      for (size_t i = 0; i < kVectors; ++i, c += kLanes) add(c);
    }
  }
  for (; c + kLanes <= cols; c += kLanes) add(c);
  if (kInStretches && c < static_cast<size_t>(args.cols) && c == cols) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int i = 0; i < kX; ++i) {
        hn::Store(sums[r][i], kF, stretch.sums + (r * kX + i) * kLanes);
      }
    }
    return;
  }
  if (c < cols) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF xs = LoadPart(x + i * args.x_stride + c, cols - c);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const VF weights = LoadWeightPart<kType>(
            w + r * row_bytes + c * Weight<kType>::kBytes, cols - c);
        sums[r][i] = hn::MulAdd(weights, xs, sums[r][i]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int i = 0; i < kX; ++i) {
    float* const y = args.y + (x_row + i) * args.y_stride + row;
    if constexpr (kRows == 4) {
      StoreTotals(sums[0][i], sums[1][i], sums[2][i], sums[3][i], y);
    } else {
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) y[r] = Total(sums[r][i]);
    }
  }
}

// All weight rows of the range for kX rows of x, which stay in the nearest
// cache meanwhile.
template <DType kType, bool kFetchAhead, int kRows, int kX>
HWY_INLINE void MatMulRows(const MatMulArgs& args, int64_t row_begin,
                           int64_t row_end, int64_t x_row) {
  int64_t row = row_begin;
  for (; row + kRows <= row_end; row += kRows) {
    MatMulTile<kType, kFetchAhead, kRows, kX>(args, row, x_row);
  }
  for (; row < row_end; ++row)
    MatMulTile<kType, kFetchAhead, 1, kX>(args, row, x_row);
}

// The same where rows are so long that kX of x would not stay in the nearest
// cache: a stretch of the columns at a time, for several tiles of rows.
constexpr int64_t kStretchCols = 1024;
// Rows of x from which on that outweighs reading weights in pieces.
constexpr int64_t kStretchRows = 64;

template <DType kType, int kX>
void MatMulInStretches(const MatMulArgs& args, int64_t row_begin,
                       int64_t row_end, int64_t x_row) {
  constexpr int64_t kTiles = 8, kRows = kWeightRows;
  HWY_ALIGN float sums[kTiles][kRows * kX * kLanes];
  int64_t row = row_begin;
  while (row + kRows <= row_end) {
    const int64_t tiles = HWY_MIN(kTiles, (row_end - row) / kRows);
    for (int64_t c = 0; c < args.cols; c += kStretchCols) {
      const size_t end = HWY_MIN(c + kStretchCols, args.cols);
      for (int64_t t = 0; t < tiles; ++t) {
        MatMulTile<kType, false, kRows, kX, true>(
            args, row + t * kRows, x_row,
            {static_cast<size_t>(c), end, sums[t]});
      }
    }
    row += tiles * kRows;
  }
  MatMulRows<kType, false, 1, kX>(args, row, row_end, x_row);
}

// As many rows of x at a time as fit, then the rest with smaller tiles. Of
// weights in memory, the first tile fetches them for all.
template <DType kType, bool kInMemory, int kX>
HWY_INLINE void MatMulFrom(const MatMulArgs& args, int64_t row_begin,
                           int64_t row_end, int64_t x_row) {
  for (; IsNextTile<kX>(args.num_x - x_row); x_row += kX) {
    if (kType == DType::kF32 && kX == kMaxX && args.num_x >= kStretchRows &&
        args.cols > kStretchCols) {
      MatMulInStretches<kType, kX>(args, row_begin, row_end, x_row);
    } else if (kInMemory && x_row == 0) {
      MatMulRows<kType, kInMemory, kWeightRows, kX>(args, row_begin, row_end,
                                                    x_row);
    } else {
      MatMulRows<kType, false, kWeightRows, kX>(args, row_begin, row_end,
                                                x_row);
    }
  }
  if constexpr (kX > 1) {
    MatMulFrom<kType, kInMemory, kX - 1>(args, row_begin, row_end, x_row);
  }
}

// One row of x is a matter of memory, which is read fastest from beginning to
// end: row by row, if rows are long, and vectors so wide that a single sum
// keeps up with it. (Measured: f32, of which there is less to do for each byte,
// is read faster in four rows at once, which the processor foresees.)
template <DType kType>
bool IsRowByRow(const MatMulArgs& args) {
  constexpr int64_t kLongRow = 512;
  return kType != DType::kF32 && kLanes >= 16 && args.num_x == 1 &&
         args.cols >= kLongRow;
}

// ---- Many rows of x, for which it pays to widen weights of 16 bits first.

// From so many on. (Measured with AVX2 and AVX-512, where widening a vector
// takes two instructions that do not compete with multiplications: tiles are
// faster even at 128. It is for processors where they do compete.)
constexpr int64_t kManyRows = kLanes >= 8 ? 128 : 16;

constexpr int64_t kScratchFloats = 1 << 16;  // of some rows of weights

// Rows [row, row + count) as f32.
template <DType kType>
void RowsToFloat(const MatMulArgs& args, int64_t row, int64_t count,
                 float* rows) {
  const uint8_t* const w = static_cast<const uint8_t*>(args.w);
  const int64_t bytes = Weight<kType>::kBytes, stride = args.w_stride * bytes;
  for (int64_t r = 0; r < count; ++r) {
    ToFloatOf<kType>(w + (row + r) * stride, args.cols, rows + r * args.cols);
  }
}

// Through rows of f32; their sums are the same. False if there is no room for
// them.
template <DType kType>
HWY_NOINLINE bool MatMulMany(const MatMulArgs& args, int64_t row_begin,
                             int64_t row_end) {
  const int64_t most = kScratchFloats / args.cols / kWeightRows * kWeightRows;
  if (most == 0) return false;
  alignas(64) float scratch[kScratchFloats];
  for (int64_t row = row_begin; row < row_end; row += most) {
    const int64_t count = HWY_MIN(most, row_end - row);
    RowsToFloat<kType>(args, row, count, scratch);
    MatMulArgs part = args;
    part.dtype = DType::kF32;
    part.w = scratch;
    part.w_stride = args.cols;
    part.y += row;
    MatMulFrom<DType::kF32, false, kMaxX>(part, 0, count, 0);
  }
  return true;
}

// Rows of 16 bits as they are, as many at a time as the second-level cache
// holds while all rows of x pass by.
template <DType kType>
void MatMulSome(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  constexpr int64_t kCachedBytes = 1 << 18;
  const int64_t tile_bytes = kWeightRows * args.cols * Weight<kType>::kBytes;
  const int64_t some = HWY_MAX(kCachedBytes / tile_bytes, 1) * kWeightRows;
  for (int64_t row = row_begin; row < row_end; row += some) {
    MatMulFrom<kType, true, kMaxX>(args, row, HWY_MIN(row + some, row_end), 0);
  }
}

template <DType kType>
void MatMulOf(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (args.transposed) {
    if (args.num_x >= kStripsFromX &&
        MatMulStrips<kType>(args, row_begin, row_end)) {
      return;
    }
    return MatMulTransposedOf<kType>(args, row_begin, row_end);
  }
  if (kType != DType::kF32 && args.num_x >= kManyRows &&
      MatMulMany<kType>(args, row_begin, row_end)) {
    return;
  }
  if (IsRowByRow<kType>(args)) {
    return MatMulRows<kType, true, 1, 1>(args, row_begin, row_end, 0);
  }
  if constexpr (kType != DType::kF32) {
    return MatMulSome<kType>(args, row_begin, row_end);
  }
  // The processor foresees one stream of reads a page. Rows so short that a
  // tile has several in one are fetched ahead.
  if (args.cols * Weight<kType>::kBytes < kPageBytes) {
    MatMulFrom<kType, true, kMaxX>(args, row_begin, row_end, 0);
  } else {
    MatMulFrom<kType, false, kMaxX>(args, row_begin, row_end, 0);
  }
}

void MatMul(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  switch (args.dtype) {
    case DType::kF32:
      return MatMulOf<DType::kF32>(args, row_begin, row_end);
    case DType::kF16:
      return MatMulOf<DType::kF16>(args, row_begin, row_end);
    case DType::kBF16:
      return MatMulOf<DType::kBF16>(args, row_begin, row_end);
    case DType::kU8:
      return;  // is no matrix of numbers
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
