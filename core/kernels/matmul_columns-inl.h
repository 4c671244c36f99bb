// SPDX-License-Identifier: Apache-2.0
// Matrix products with weights that are stored as columns.

#if defined(RWKVD_CORE_KERNELS_MATMUL_COLUMNS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_MATMUL_COLUMNS_INL_H_
#undef RWKVD_CORE_KERNELS_MATMUL_COLUMNS_INL_H_
#else
#define RWKVD_CORE_KERNELS_MATMUL_COLUMNS_INL_H_
#endif

#include "core/kernels/kernels.h"
#include "core/kernels/vectors-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kLineBytes = 64;

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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
