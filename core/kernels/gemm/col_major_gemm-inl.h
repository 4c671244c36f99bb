// SPDX-License-Identifier: Apache-2.0
// Matrix products of many rows of x with weights that are stored as columns.

#if defined(RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#endif

#include "core/kernels/gemm/col_major_gemv-inl.h"
#include "core/kernels/kernel_table.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Rows of the product side by side, in vectors, and rows of x, whose sums fit
// 16 registers.
constexpr int64_t kStripVectors = 2;
constexpr int64_t kStripRows = kStripVectors * kLanes;
constexpr int kStripX = 6;

// Columns that MatMulTile multiplies in the same lane of a vector follow one
// another, and so do the lanes that Total adds: 0, 8, 4, 12, 2, ... of 16. This
// is the i-th of them.
constexpr size_t LaneInTurn(size_t i) {
  size_t lane = 0;
  for (size_t bit = 1, value = kLanes / 2; bit < kLanes; bit *= 2, value /= 2) {
    if ((i & bit) != 0) lane += value;
  }
  return lane;
}

// Rows [row, row + count) as strips of f32: [strips][cols][kStripRows], columns
// in the order of LaneInTurn, rows beyond the last as zeros.
template <DType kType>
void ColumnsToStrips(const MatMulArgs& args, int64_t row, int64_t count,
                     float* strips) {
  constexpr int64_t kBytes = Weight<kType>::kBytes;
  constexpr int64_t kStep = kLanes;
  const int64_t stride = args.w_stride * kBytes, run_bytes = count * kBytes;
  const int64_t ahead = HWY_MIN(kColumnBytesAhead / run_bytes + 1, args.cols);
  const int64_t whole = count / kStep * kStep;
  int64_t first[kLanes];
  for (int64_t i = 0, columns = 0; i < kStep; ++i) {
    const int64_t lane = LaneInTurn(i);
    first[lane] = columns;
    columns += (args.cols - lane + kStep - 1) / kStep;
  }
  const uint8_t* column = static_cast<const uint8_t*>(args.w) + row * kBytes;
  for (int64_t c = 0; c < args.cols; ++c, column += stride) {
    if (c + ahead < args.cols) {
      for (int64_t at = 0; at < run_bytes; at += kLineBytes) {
        __builtin_prefetch(column + ahead * stride + at, 0, 2);
      }
    }
    float* to = strips + (first[c % kStep] + c / kStep) * kStripRows;
    const auto place = [&](int64_t r) HWY_ATTR {
      return to + r / kStripRows * args.cols * kStripRows + r % kStripRows;
    };
    for (int64_t r = 0; r < whole; r += kStep) {
      hn::Store(Weight<kType>::Load(column + r * kBytes), kF, place(r));
    }
    if (whole < count) {
      hn::Store(LoadWeightPart<kType>(column + whole * kBytes, count - whole),
                kF, place(whole));
    }
    for (int64_t r = whole + (whole < count ? kStep : 0); r % kStripRows != 0;
         r += kStep) {
      hn::Store(hn::Zero(kF), kF, place(r));
    }
  }
}

// A strip, of which `rows` rows exist, times kX rows of x.
template <int kX>
HWY_INLINE void StripTile(const float* strip, int64_t rows,
                          const MatMulArgs& args, int64_t x_row, float* y) {
  const float* const x = args.x + x_row * args.x_stride;
  constexpr int kLevels = 5;  // of a sum of 16 lanes
  static_assert(kLanes <= size_t{1} << (kLevels - 1), "more lanes than levels");
  // At level n, what 2^n lanes add up to.
  VF levels[kLevels][kX][kStripVectors];
  int level = 0;
  for (size_t i = 0; i < kLanes; ++i) {
    VF sums[kX][kStripVectors];
    HWY_UNROLL(8)
    for (int r = 0; r < kX; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kStripVectors; ++v) sums[r][v] = hn::Zero(kF);
    }
    for (int64_t c = LaneInTurn(i); c < args.cols; c += kLanes) {
      VF weights[kStripVectors];
      HWY_UNROLL(2)
      for (int v = 0; v < kStripVectors; ++v) {
        weights[v] = hn::Load(kF, strip + v * kLanes);
      }
      strip += kStripRows;
      HWY_UNROLL(8)
      for (int r = 0; r < kX; ++r) {
        const VF xs = hn::Set(kF, x[r * args.x_stride + c]);
        HWY_UNROLL(2)
        for (int v = 0; v < kStripVectors; ++v) {
          sums[r][v] = hn::MulAdd(weights[v], xs, sums[r][v]);
        }
      }
    }
    level = 0;
    for (size_t bits = i; bits % 2 == 1; bits /= 2, ++level) {
      HWY_UNROLL(8)
      for (int r = 0; r < kX; ++r) {
        HWY_UNROLL(2)
        for (int v = 0; v < kStripVectors; ++v) {
          sums[r][v] = hn::Add(levels[level][r][v], sums[r][v]);
        }
      }
    }
    HWY_UNROLL(8)
    for (int r = 0; r < kX; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kStripVectors; ++v) levels[level][r][v] = sums[r][v];
    }
  }
  for (int r = 0; r < kX; ++r) {
    for (int64_t v = 0; v < kStripVectors; ++v) {
      float* const to = y + (x_row + r) * args.y_stride + v * kLanes;
      const int64_t left = rows - v * static_cast<int64_t>(kLanes);
      if (left >= static_cast<int64_t>(kLanes)) {
        hn::StoreU(levels[level][r][v], kF, to);
      } else if (left > 0) {
        StorePart(levels[level][r][v], to, left);
      }
    }
  }
}

// As many rows of x at a time as fit, then the rest with smaller tiles; each
// strip stays in a cache meanwhile.
template <int kX>
HWY_INLINE void StripTilesFrom(const float* strips, int64_t rows,
                               const MatMulArgs& args, int64_t x_row,
                               float* y) {
  for (; IsNextTile<kX>(args.num_x - x_row); x_row += kX) {
    for (int64_t r = 0; r < rows; r += kStripRows) {
      StripTile<kX>(strips + r * args.cols, rows - r, args, x_row, y + r);
    }
  }
  if constexpr (kX > 1) {
    StripTilesFrom<kX - 1>(strips, rows, args, x_row, y);
  }
}

// Of some strips, which the second-level cache holds, or of one.
constexpr int64_t kStripsFloats = 1 << 16;
constexpr int64_t kMostStripFloats = 1 << 17;

// From so many rows of x on, that pays.
constexpr int64_t kStripsFromX = 8;

// Rows of the product for many rows of x. False if columns are too many.
template <DType kType>
HWY_NOINLINE bool MatMulStrips(const MatMulArgs& args, int64_t row_begin,
                               int64_t row_end) {
  const int64_t strip_floats = args.cols * kStripRows;
  if (strip_floats > kMostStripFloats) return false;
  const int64_t most = HWY_MAX(kStripsFloats / strip_floats, 1) * kStripRows;
  // Their end is used: pages of the stack that others have used, too.
  alignas(64) float room[kMostStripFloats];
  const int64_t used = HWY_MAX(kStripsFloats, strip_floats);
  float* const strips = room + kMostStripFloats - used;
  for (int64_t row = row_begin; row < row_end; row += most) {
    const int64_t count = HWY_MIN(most, row_end - row);
    ColumnsToStrips<kType>(args, row, count, strips);
    StripTilesFrom<kStripX>(strips, count, args, 0, args.y + row);
  }
  return true;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
