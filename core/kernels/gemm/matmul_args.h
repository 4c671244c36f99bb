// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_GEMM_MATMUL_ARGS_H_
#define RWKVD_CORE_KERNELS_GEMM_MATMUL_ARGS_H_

#include <cstdint>

#include "core/base/dtype.h"

namespace rwkvd {

// Arguments of KernelTable::matmul: weights [rows, cols] of `dtype`, at any
// alignment, times the rows of x:
//   y[i][r] = sum over c of w[r][c] * x[i][c].
// The weights are row-major or, if `transposed`, column-major. The sums run in
// the same order either way, so both give bit-identical results.
struct MatMulArgs {
  DType dtype = DType::kF32;
  bool transposed = false;  // column-major
  const void* w = nullptr;
  int64_t w_stride = 0;  // elements from one stored row (or column) to the next
  int64_t cols = 0;
  int64_t num_x = 0;         // rows of x and y
  const float* x = nullptr;  // [num_x, cols]
  int64_t x_stride = 0;      // elements from one row of x to the next
  float* y = nullptr;        // [num_x, rows]
  int64_t y_stride = 0;      // elements from one row of y to the next
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_GEMM_MATMUL_ARGS_H_
