// SPDX-License-Identifier: Apache-2.0
// Matrix products.

#if defined(RWKVD_CORE_KERNELS_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_MATMUL_INL_H_
#undef RWKVD_CORE_KERNELS_MATMUL_INL_H_
#else
#define RWKVD_CORE_KERNELS_MATMUL_INL_H_
#endif

#include "core/kernels/elementwise-inl.h"
#include "core/kernels/kernels.h"
#include "core/kernels/vectors-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kLineBytes = 64;

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

// A tile of weight rows times x rows, in registers. Every sum runs over the
// columns in one order, a vector at a time and then across its lanes, however
// large the tile: this makes the product batch-invariant.
template <DType kType, bool kFetchAhead, int kRows, int kX>
HWY_INLINE void MatMulTile(const MatMulArgs& args, int64_t row, int64_t x_row) {
  const size_t cols = static_cast<size_t>(args.cols);
  const size_t row_bytes = args.w_stride * Weight<kType>::kBytes;
  const uint8_t* w = static_cast<const uint8_t*>(args.w) + row * row_bytes;
  const float* x = args.x + x_row * args.x_stride;

  VF sums[kRows][kX];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) sums[r][i] = hn::Zero(kF);
  }
  const auto add = [&](size_t c) HWY_ATTR {
    VF weights[kRows];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      weights[r] =
          Weight<kType>::Load(w + r * row_bytes + c * Weight<kType>::kBytes);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      const VF xs = hn::LoadU(kF, x + i * args.x_stride + c);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        sums[r][i] = hn::MulAdd(weights[r], xs, sums[r][i]);
      }
    }
  };
  size_t c = 0;
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

// As many rows of x at a time as fit, then the rest with smaller tiles. Of
// weights in memory, the first tile fetches them for all.
template <DType kType, bool kInMemory, int kX>
HWY_INLINE void MatMulFrom(const MatMulArgs& args, int64_t row_begin,
                           int64_t row_end, int64_t x_row) {
  for (; x_row + kX <= args.num_x; x_row += kX) {
    if (kInMemory && x_row == 0) {
      MatMulRows<kType, kInMemory, 4, kX>(args, row_begin, row_end, x_row);
    } else {
      MatMulRows<kType, false, 4, kX>(args, row_begin, row_end, x_row);
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

// 4 x 6 sums, 4 weights and an x fit the 32 registers of AVX-512; the 16 of
// others hold 4 x 2.
constexpr int kMaxX = HWY_MAX_BYTES == 64 ? 6 : 2;

// Columns ahead that memory needs to answer.
constexpr int64_t kColumnsAhead = 32;

// `kLanes` rows of the product, or as many as `load` takes, for one row of x,
// from weights that are stored as columns. Keeps the sums that MatMulTile has
// in the lanes of one vector in a vector each, and adds them up as Total does.
// Fetches `lines` cache lines of each column ahead.
template <DType kType, class Load>
HWY_INLINE VF MatMulColumns(const MatMulArgs& args, const uint8_t* w,
                            const float* x, int64_t lines, Load load) {
  const size_t cols = static_cast<size_t>(args.cols);
  const size_t stride = args.w_stride * Weight<kType>::kBytes;
  for (int64_t c = 0; lines > 0 && c < kColumnsAhead; ++c) {
    for (int64_t line = 0; line < lines; ++line) {
      __builtin_prefetch(w + c * stride + line * kLineBytes, 0, 2);
    }
  }
  VF sums[kLanes];
  HWY_UNROLL(16)
  for (size_t l = 0; l < kLanes; ++l) sums[l] = hn::Zero(kF);
  size_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    for (size_t l = 0; lines > 0 && l < kLanes; ++l) {
      const uint8_t* const column = w + (c + l + kColumnsAhead) * stride;
      for (int64_t line = 0; line < lines; ++line) {
        __builtin_prefetch(column + line * kLineBytes, 0, 2);
      }
    }
    HWY_UNROLL(16)
    for (size_t l = 0; l < kLanes; ++l) {
      const VF weights = load(w + (c + l) * stride);
      sums[l] = hn::MulAdd(weights, hn::Set(kF, x[c + l]), sums[l]);
    }
  }
  for (size_t l = 0; c + l < cols; ++l) {
    const VF weights = load(w + (c + l) * stride);
    sums[l] = hn::MulAdd(weights, hn::Set(kF, x[c + l]), sums[l]);
  }
  HWY_UNROLL(4)
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    HWY_UNROLL(8)
    for (size_t l = 0; l < half; ++l) {
      sums[l] = hn::Add(sums[l], sums[l + half]);
    }
  }
  return sums[0];
}

template <DType kType>
void MatMulTransposedOf(const MatMulArgs& args, int64_t row_begin,
                        int64_t row_end) {
  const int64_t lanes = kLanes;
  // The first vector of rows fetches the columns of all.
  int64_t lines = (row_end - row_begin) *
                  static_cast<int64_t>(Weight<kType>::kBytes) /
                  static_cast<int64_t>(kLineBytes);
  for (int64_t row = row_begin; row < row_end; row += lanes) {
    const uint8_t* w =
        static_cast<const uint8_t*>(args.w) + row * Weight<kType>::kBytes;
    const int64_t count = row_end - row;
    for (int64_t i = 0; i < args.num_x; ++i, lines = 0) {
      const float* x = args.x + i * args.x_stride;
      float* y = args.y + i * args.y_stride + row;
      if (count >= lanes) {
        const auto load = [](const uint8_t* p)
                              HWY_ATTR { return Weight<kType>::Load(p); };
        hn::StoreU(MatMulColumns<kType>(args, w, x, lines, load), kF, y);
      } else {
        const auto load = [count](const uint8_t* p) HWY_ATTR {
          return LoadWeightPart<kType>(p, count);
        };
        StorePart(MatMulColumns<kType>(args, w, x, lines, load), y, count);
      }
    }
  }
}

// ---- Many rows of x, for which it pays to rearrange weights first.

constexpr int64_t kManyRows = 16;
constexpr int64_t kScratchFloats = 1 << 17;  // of some rows of weights

// `count` columns of kLanes rows each, which are `stride` bytes apart, as rows.
template <DType kType>
HWY_INLINE void ColumnsToRows(const uint8_t* columns, int64_t stride,
                              int64_t count, int64_t row_floats, float* rows) {
  HWY_ALIGN float block[kLanes * kLanes];
  for (int64_t c = 0; c < count; c += kLanes) {
    const int64_t some = HWY_MIN(count - c, static_cast<int64_t>(kLanes));
    for (int64_t i = 0; i < some; ++i) {
      hn::Store(Weight<kType>::Load(columns + (c + i) * stride), kF,
                block + i * kLanes);
    }
    for (size_t r = 0; r < kLanes; ++r) {
      for (int64_t i = 0; i < some; ++i) {
        rows[r * row_floats + c + i] = block[i * kLanes + r];
      }
    }
  }
}

// Rows [row, row + count) as f32.
template <DType kType>
void RowsToFloat(const MatMulArgs& args, int64_t row, int64_t count,
                 float* rows) {
  const uint8_t* const w = static_cast<const uint8_t*>(args.w);
  const int64_t bytes = Weight<kType>::kBytes, stride = args.w_stride * bytes;
  if (!args.transposed) {
    for (int64_t r = 0; r < count; ++r) {
      ToFloatOf<kType>(w + (row + r) * stride, args.cols, rows + r * args.cols);
    }
    return;
  }
  for (int64_t r = 0; r < count; r += kLanes) {
    ColumnsToRows<kType>(w + (row + r) * bytes, stride, args.cols, args.cols,
                         rows + r * args.cols);
  }
}

// Through rows of f32; their sums are the same. False if there is no room for
// them.
template <DType kType>
bool MatMulMany(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  // A tile's rows, or, of columns, a vector of them.
  const int64_t multiple = args.transposed ? kLanes : 4;
  const int64_t most = kScratchFloats / args.cols / multiple * multiple;
  if (most == 0) return false;
  alignas(64) float scratch[kScratchFloats];
  int64_t row = row_begin;
  while (row < row_end) {
    int64_t count = HWY_MIN(most, row_end - row);
    // A vector of rows must not reach beyond the columns.
    if (args.transposed) count = count / multiple * multiple;
    if (count == 0) break;
    RowsToFloat<kType>(args, row, count, scratch);
    MatMulArgs part = args;
    part.dtype = DType::kF32;
    part.transposed = false;
    part.w = scratch;
    part.w_stride = args.cols;
    part.y += row;
    MatMulFrom<DType::kF32, false, kMaxX>(part, 0, count, 0);
    row += count;
  }
  if (row < row_end) MatMulTransposedOf<kType>(args, row, row_end);
  return true;
}

template <DType kType>
void MatMulOf(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if ((args.transposed || kType != DType::kF32) && args.num_x >= kManyRows &&
      MatMulMany<kType>(args, row_begin, row_end)) {
    return;
  }
  if (args.transposed) {
    return MatMulTransposedOf<kType>(args, row_begin, row_end);
  }
  if (IsRowByRow<kType>(args)) {
    return MatMulRows<kType, true, 1, 1>(args, row_begin, row_end, 0);
  }
  // The processor foresees one stream of reads a page. Rows so short that a
  // tile has several in one are fetched ahead.
  if (kType != DType::kF32 || args.cols * Weight<kType>::kBytes < kPageBytes) {
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
