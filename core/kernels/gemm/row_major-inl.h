// SPDX-License-Identifier: Apache-2.0
// Matmul with row-major f32, f16 or bf16 weights.

#if defined(RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_ROW_MAJOR_INL_H_
#endif

#include "core/kernels/elementwise-inl.h"
#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Writes Total(a), Total(b), Total(c) and Total(d), bit-identical, to `totals`.
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
  // Keeps the first lane of each 128 bits.
  _mm_storeu_ps(
      totals, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, whole)));
#else
  totals[0] = Total(a);
  totals[1] = Total(b);
  totals[2] = Total(c);
  totals[3] = Total(d);
#endif
}

// The micro-kernel multiplies kWeightRows rows of weights by up to kRowMajorX
// rows of x.
constexpr int kRowMajorX = Tiling::RowMajorXRows(HWY_MAX_BYTES);
constexpr int64_t kWeightRows = Tiling::kRowMajorRows;

// Columns [begin, end) of a matmul. `begin` is a multiple of kLanes; so is
// `end`, unless the chunk is the last. `sums` keeps a micro-kernel's sums
// between chunks, one vector after another.
struct ColumnChunk {
  size_t begin = 0;
  size_t end = 0;
  float* sums = nullptr;
};

// Multiplies kRows rows of weights from `row` on by kX rows of x from `x_row`
// on, with all sums in registers. Every sum runs over the columns in one order,
// a vector at a time and then across its lanes, whatever kRows and kX: this
// makes matmul batch-invariant.
//
// With kInChunks, adds the columns of `chunk` only and keeps the sums
// there until the last chunk. With kPrefetch, prefetches the weights.
template <DType kType, bool kPrefetch, int kRows, int kX,
          bool kInChunks = false>
HWY_INLINE void RowMajorMicroKernel(const MatMulArgs& args, int64_t row,
                                    int64_t x_row,
                                    const ColumnChunk& chunk = {}) {
  const size_t cols = kInChunks ? chunk.end : args.cols;
  const size_t row_bytes = args.w_stride * Weight<kType>::kBytes;
  const uint8_t* w = static_cast<const uint8_t*>(args.w) + row * row_bytes;
  const float* x = args.x + x_row * args.x_stride;

  VF sums[kRows][kX];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int i = 0; i < kX; ++i) {
      sums[r][i] = kInChunks && chunk.begin > 0
                       ? hn::Load(kF, chunk.sums + (r * kX + i) * kLanes)
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
  size_t c = kInChunks ? chunk.begin : 0;
  if constexpr (kPrefetch) {
    // A step uses whole cache lines and prefetches as many into L2, in the
    // order in which they lie in memory.
    constexpr size_t kVectorBytes = kRows * kLanes * Weight<kType>::kBytes;
    constexpr size_t kVectors =
        HWY_MAX(Tiling::kCacheLineBytes / kVectorBytes, 1);
    constexpr size_t kStepBytes = kVectors * kVectorBytes;
    const uint8_t* ahead = w + HWY_MAX(size_t{Tiling::kPrefetchBytes},
                                       kRows == 1 ? 0 : kRows * row_bytes);
    while (c + kVectors * kLanes <= cols) {
      HWY_UNROLL(8)
      for (size_t at = 0; at < kStepBytes; at += Tiling::kCacheLineBytes) {
        __builtin_prefetch(ahead + at, /*rw=*/0, /*locality=*/2);
      }
      ahead += kStepBytes;
      HWY_UNROLL(8)
      for (size_t i = 0; i < kVectors; ++i, c += kLanes) add(c);
    }
  }
  for (; c + kLanes <= cols; c += kLanes) add(c);
  if (kInChunks && c < static_cast<size_t>(args.cols) && c == cols) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int i = 0; i < kX; ++i) {
        hn::Store(sums[r][i], kF, chunk.sums + (r * kX + i) * kLanes);
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

// Multiplies weight rows [row_begin, row_end) by kX rows of x, which stay in L1
// meanwhile.
template <DType kType, bool kPrefetch, int kRows, int kX>
HWY_INLINE void MultiplyWeightRows(const MatMulArgs& args, int64_t row_begin,
                                   int64_t row_end, int64_t x_row) {
  int64_t row = row_begin;
  for (; row + kRows <= row_end; row += kRows) {
    RowMajorMicroKernel<kType, kPrefetch, kRows, kX>(args, row, x_row);
  }
  for (; row < row_end; ++row) {
    RowMajorMicroKernel<kType, kPrefetch, 1, kX>(args, row, x_row);
  }
}

// Does the same where rows are so long that kX rows of x would not stay in L1:
// one column chunk at a time, for several micro-kernels.
template <DType kType, int kX>
void MultiplyInColumnChunks(const MatMulArgs& args, int64_t row_begin,
                            int64_t row_end, int64_t x_row) {
  constexpr int64_t kKernels = Tiling::kColumnChunkMicroKernels;
  constexpr int64_t kRows = kWeightRows, kCols = Tiling::kColumnChunk;
  HWY_ALIGN float sums[kKernels][kRows * kX * kLanes];
  int64_t row = row_begin;
  while (row + kRows <= row_end) {
    const int64_t num_kernels = HWY_MIN(kKernels, (row_end - row) / kRows);
    for (int64_t c = 0; c < args.cols; c += kCols) {
      const size_t end = HWY_MIN(c + kCols, args.cols);
      for (int64_t i = 0; i < num_kernels; ++i) {
        RowMajorMicroKernel<kType, false, kRows, kX, true>(
            args, row + i * kRows, x_row,
            {static_cast<size_t>(c), end, sums[i]});
      }
    }
    row += num_kernels * kRows;
  }
  MultiplyWeightRows<kType, false, 1, kX>(args, row, row_end, x_row);
}

// Multiplies weight rows [row_begin, row_end) by all rows of x from `x_row` on:
// kX rows of x at a time, then the rest with smaller micro-kernels. Weights
// that come from memory (kInMemory) are prefetched by the first of these
// passes.
template <DType kType, bool kInMemory, int kX>
HWY_INLINE void MultiplyRemainingX(const MatMulArgs& args, int64_t row_begin,
                                   int64_t row_end, int64_t x_row) {
  for (; IsNextXRows<kX>(args.num_x - x_row); x_row += kX) {
    if (kType == DType::kF32 && kX == kRowMajorX &&
        args.num_x >= Tiling::kColumnChunkMinX &&
        args.cols > Tiling::kColumnChunk) {
      MultiplyInColumnChunks<kType, kX>(args, row_begin, row_end, x_row);
    } else if (kInMemory && x_row == 0) {
      MultiplyWeightRows<kType, kInMemory, kWeightRows, kX>(args, row_begin,
                                                            row_end, x_row);
    } else {
      MultiplyWeightRows<kType, false, kWeightRows, kX>(args, row_begin,
                                                        row_end, x_row);
    }
  }
  if constexpr (kX > 1) {
    MultiplyRemainingX<kType, kInMemory, kX - 1>(args, row_begin, row_end,
                                                 x_row);
  }
}

// Returns whether rows of weights are multiplied one by one, so that memory is
// read from beginning to end; Tiling says why.
template <DType kType>
bool ReadsRowByRow(const MatMulArgs& args) {
  return kType != DType::kF32 && kLanes >= Tiling::kRowByRowMinLanes &&
         args.num_x == 1 && args.cols >= Tiling::kRowByRowMinCols;
}

// ---- 16-bit weights.

// Writes weight rows [row, row + count) as f32 [count, cols] to `rows`.
template <DType kType>
void WidenRows(const MatMulArgs& args, int64_t row, int64_t count,
               float* rows) {
  const uint8_t* const w = static_cast<const uint8_t*>(args.w);
  const int64_t bytes = Weight<kType>::kBytes, stride = args.w_stride * bytes;
  for (int64_t r = 0; r < count; ++r) {
    ToFloatOf<kType>(w + (row + r) * stride, args.cols, rows + r * args.cols);
  }
}

// Widens some rows of weights at a time to f32 in a buffer and multiplies them
// there; the results are bit-identical. Returns false, having done nothing, if
// the rows are too long for the buffer.
template <DType kType>
HWY_NOINLINE bool MultiplyThroughF32(const MatMulArgs& args, int64_t row_begin,
                                     int64_t row_end) {
  constexpr int64_t kFloats = Tiling::kWidenBufferFloats;
  const int64_t most = kFloats / args.cols / kWeightRows * kWeightRows;
  if (most == 0) return false;
  alignas(64) float scratch[kFloats];
  for (int64_t row = row_begin; row < row_end; row += most) {
    const int64_t count = HWY_MIN(most, row_end - row);
    WidenRows<kType>(args, row, count, scratch);
    MatMulArgs part = args;
    part.dtype = DType::kF32;
    part.w = scratch;
    part.w_stride = args.cols;
    part.y += row;
    MultiplyRemainingX<DType::kF32, false, kRowMajorX>(part, 0, count, 0);
  }
  return true;
}

// Multiplies 16-bit rows as stored, as many at a time as stay in L2 while all
// rows of x pass by.
template <DType kType>
void MultiplyCachedRows(const MatMulArgs& args, int64_t row_begin,
                        int64_t row_end) {
  const int64_t bytes = kWeightRows * args.cols * Weight<kType>::kBytes;
  const int64_t some =
      HWY_MAX(Tiling::kCached16BitBytes / bytes, 1) * kWeightRows;
  for (int64_t row = row_begin; row < row_end; row += some) {
    MultiplyRemainingX<kType, true, kRowMajorX>(
        args, row, HWY_MIN(row + some, row_end), 0);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
