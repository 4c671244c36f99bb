// SPDX-License-Identifier: Apache-2.0
// Matmul with column-major float weights and many rows of x. Some rows of the
// weights at a time are packed into f32 panels, which stay in L2 while all rows
// of x pass by.

#if defined(RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMM_INL_H_
#endif

#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Rows of weights in an f32 panel, and rows of x that the micro-kernel takes.
constexpr int64_t kF32PanelVectors = Tiling::kColMajorPanelVectors;
constexpr int64_t kF32PanelRows = kF32PanelVectors * kLanes;
constexpr int kColMajorX = Tiling::kColMajorXRows;

// A panel holds the columns in the order in which the sums are finished: all
// columns of one lane of the row-major micro-kernel (c % kLanes), then those of
// the lane that Total adds to it, and so on: lanes 0, 8, 4, 12, 2, ... of 16.
// Returns the i-th lane in this order.
constexpr size_t LaneInTurn(size_t i) {
  size_t lane = 0;
  for (size_t bit = 1, value = kLanes / 2; bit < kLanes; bit *= 2, value /= 2) {
    if ((i & bit) != 0) lane += value;
  }
  return lane;
}

// Packs weight rows [row, row + count) into f32 panels, [panels][cols]
// [kF32PanelRows], with the columns in the order of LaneInTurn. Rows missing to
// a whole panel are zero.
template <DType kType>
void PackPanels(const MatMulArgs& args, int64_t row, int64_t count,
                float* panels) {
  constexpr int64_t kBytes = Weight<kType>::kBytes;
  constexpr int64_t kStep = kLanes;
  const int64_t stride = args.w_stride * kBytes, run_bytes = count * kBytes;
  const int64_t ahead =
      HWY_MIN(Tiling::kPrefetchBytes / run_bytes + 1, args.cols);
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
      for (int64_t at = 0; at < run_bytes; at += Tiling::kCacheLineBytes) {
        __builtin_prefetch(column + ahead * stride + at, 0, 2);
      }
    }
    float* to = panels + (first[c % kStep] + c / kStep) * kF32PanelRows;
    const auto at_row = [&](int64_t r) HWY_ATTR {
      return to + r / kF32PanelRows * args.cols * kF32PanelRows +
             r % kF32PanelRows;
    };
    for (int64_t r = 0; r < whole; r += kStep) {
      hn::Store(Weight<kType>::Load(column + r * kBytes), kF, at_row(r));
    }
    if (whole < count) {
      hn::Store(LoadWeightPart<kType>(column + whole * kBytes, count - whole),
                kF, at_row(whole));
    }
    for (int64_t r = whole + (whole < count ? kStep : 0);
         r % kF32PanelRows != 0; r += kStep) {
      hn::Store(hn::Zero(kF), kF, at_row(r));
    }
  }
}

// Multiplies a panel, of which `rows` rows exist, by kX rows of x from `x_row`
// on. Adds up the lanes' sums in the order of Total: results are bit-identical
// to those of the row-major micro-kernel.
template <int kX>
HWY_INLINE void ColMajorMicroKernel(const float* panel, int64_t rows,
                                    const MatMulArgs& args, int64_t x_row,
                                    float* y) {
  const float* const x = args.x + x_row * args.x_stride;
  constexpr int kLevels = 5;  // of the addition tree over 16 lanes
  static_assert(kLanes <= size_t{1} << (kLevels - 1), "more lanes than levels");
  // levels[n]: the sum of 2^n lanes.
  VF levels[kLevels][kX][kF32PanelVectors];
  int level = 0;
  for (size_t i = 0; i < kLanes; ++i) {
    VF sums[kX][kF32PanelVectors];
    HWY_UNROLL(8)
    for (int r = 0; r < kX; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kF32PanelVectors; ++v) sums[r][v] = hn::Zero(kF);
    }
    for (int64_t c = LaneInTurn(i); c < args.cols; c += kLanes) {
      VF weights[kF32PanelVectors];
      HWY_UNROLL(2)
      for (int v = 0; v < kF32PanelVectors; ++v) {
        weights[v] = hn::Load(kF, panel + v * kLanes);
      }
      panel += kF32PanelRows;
      HWY_UNROLL(8)
      for (int r = 0; r < kX; ++r) {
        const VF xs = hn::Set(kF, x[r * args.x_stride + c]);
        HWY_UNROLL(2)
        for (int v = 0; v < kF32PanelVectors; ++v) {
          sums[r][v] = hn::MulAdd(weights[v], xs, sums[r][v]);
        }
      }
    }
    level = 0;
    for (size_t bits = i; bits % 2 == 1; bits /= 2, ++level) {
      HWY_UNROLL(8)
      for (int r = 0; r < kX; ++r) {
        HWY_UNROLL(2)
        for (int v = 0; v < kF32PanelVectors; ++v) {
          sums[r][v] = hn::Add(levels[level][r][v], sums[r][v]);
        }
      }
    }
    HWY_UNROLL(8)
    for (int r = 0; r < kX; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kF32PanelVectors; ++v)
        levels[level][r][v] = sums[r][v];
    }
  }
  for (int r = 0; r < kX; ++r) {
    for (int64_t v = 0; v < kF32PanelVectors; ++v) {
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

// Multiplies all panels by all rows of x from `x_row` on: kX rows of x at a
// time, then the rest with smaller micro-kernels.
template <int kX>
HWY_INLINE void MultiplyPanelsByRemainingX(const float* panels, int64_t rows,
                                           const MatMulArgs& args,
                                           int64_t x_row, float* y) {
  for (; IsNextXRows<kX>(args.num_x - x_row); x_row += kX) {
    for (int64_t r = 0; r < rows; r += kF32PanelRows) {
      ColMajorMicroKernel<kX>(panels + r * args.cols, rows - r, args, x_row,
                              y + r);
    }
  }
  if constexpr (kX > 1) {
    MultiplyPanelsByRemainingX<kX - 1>(panels, rows, args, x_row, y);
  }
}

// Rows [row_begin, row_end) of y, for all rows of x. Returns false, having done
// nothing, if a panel would be too large.
template <DType kType>
HWY_NOINLINE bool ColMajorGemm(const MatMulArgs& args, int64_t row_begin,
                               int64_t row_end) {
  constexpr int64_t kFloats = Tiling::kColMajorPanelsFloats;
  constexpr int64_t kMaxFloats = Tiling::kColMajorMaxPanelFloats;
  const int64_t panel_floats = args.cols * kF32PanelRows;
  if (panel_floats > kMaxFloats) return false;
  const int64_t most = HWY_MAX(kFloats / panel_floats, 1) * kF32PanelRows;
  // Only the end of the buffer is used: pages of the stack that other functions
  // have touched already.
  alignas(64) float buffer[kMaxFloats];
  const int64_t used = HWY_MAX(kFloats, panel_floats);
  float* const panels = buffer + kMaxFloats - used;
  for (int64_t row = row_begin; row < row_end; row += most) {
    const int64_t count = HWY_MIN(most, row_end - row);
    PackPanels<kType>(args, row, count, panels);
    MultiplyPanelsByRemainingX<kColMajorX>(panels, count, args, 0,
                                           args.y + row);
  }
  return true;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
