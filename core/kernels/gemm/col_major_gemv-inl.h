// SPDX-License-Identifier: Apache-2.0
// Matmul with column-major float weights, one row of x at a time.

#if defined(RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMV_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMV_INL_H_
#undef RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMV_INL_H_
#else
#define RWKVD_CORE_KERNELS_GEMM_COL_MAJOR_GEMV_INL_H_
#endif

#include "core/kernels/gemm/matmul_args.h"
#include "core/kernels/gemm/tiling.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kGemvRows = Tiling::kColMajorGemvRows;

// Elements [row, row + count) of y, at most kGemvRows, for one row of x. Reads
// the weights in memory order and, if `is_first`, prefetches them.
//
// The row-major micro-kernel keeps the sums of columns c % kLanes in the lanes
// of one vector. This kernel keeps each of them in an array `sums[c % kLanes]`
// and adds the arrays up in the order of Total, so that the results are
// bit-identical.
template <DType kType>
void ColMajorGemvRows(const MatMulArgs& args, int64_t row, int64_t count,
                      bool is_first, const float* x, float* y) {
  constexpr int64_t kBytes = Weight<kType>::kBytes;
  constexpr int64_t kStep = kLanes;
  const int64_t stride = args.w_stride * kBytes;
  const uint8_t* column = static_cast<const uint8_t*>(args.w) + row * kBytes;
  const int64_t run_bytes = count * kBytes;
  const int64_t ahead =
      HWY_MIN(Tiling::kPrefetchBytes / run_bytes + 1, args.cols);
  const int64_t whole = count / kStep * kStep;

  HWY_ALIGN float sums[kLanes][kGemvRows];
  for (auto& of_lane : sums) {
    memset(of_lane, 0, (count + kStep - 1) / kStep * kStep * sizeof(float));
  }
  for (int64_t c = 0; c < args.cols; ++c, column += stride) {
    if (is_first) {
      // A later column of these rows or, past the last column, the first
      // columns of the rows that follow.
      const uint8_t* const run =
          c + ahead < args.cols
              ? column + ahead * stride
              : column + (ahead - args.cols) * stride + run_bytes;
      for (int64_t at = 0; at < run_bytes; at += Tiling::kCacheLineBytes) {
        __builtin_prefetch(run + at, 0, 2);
      }
    }
    const VF xs = hn::Set(kF, x[c]);
    float* const to = sums[c % kStep];
    const auto add = [&](VF weights, int64_t r) HWY_ATTR {
      hn::Store(hn::MulAdd(weights, xs, hn::Load(kF, to + r)), kF, to + r);
    };
    HWY_UNROLL(4)
    for (int64_t r = 0; r < whole; r += kStep) {
      add(Weight<kType>::Load(column + r * kBytes), r);
    }
    if (whole < count) {
      add(LoadWeightPart<kType>(column + whole * kBytes, count - whole), whole);
    }
  }
  for (int64_t r = 0; r < count; r += kStep) {
    VF lanes[kLanes];
    HWY_UNROLL(16)
    for (size_t l = 0; l < kLanes; ++l) lanes[l] = hn::Load(kF, sums[l] + r);
    HWY_UNROLL(4)
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
      HWY_UNROLL(8)
      for (size_t l = 0; l < half; ++l) {
        lanes[l] = hn::Add(lanes[l], lanes[l + half]);
      }
    }
    if (r < whole) {
      hn::StoreU(lanes[0], kF, y + r);
    } else {
      StorePart(lanes[0], y + r, count - r);
    }
  }
}

// Rows [row_begin, row_end) of y, for all rows of x.
template <DType kType>
void ColMajorGemv(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; row += kGemvRows) {
    const int64_t count = HWY_MIN(kGemvRows, row_end - row);
    for (int64_t i = 0; i < args.num_x; ++i) {
      ColMajorGemvRows<kType>(args, row, count, i == 0,
                              args.x + i * args.x_stride,
                              args.y + i * args.y_stride + row);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
