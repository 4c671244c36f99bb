// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_GGML_MATMUL_ARGS_H_
#define RWKVD_CORE_KERNELS_GGML_MATMUL_ARGS_H_

#include <cstdint>

#include "core/kernels/ggml/layout.h"
#include "core/kernels/quant/activations.h"

namespace rwkvd {

// Arguments of KernelTable::ggml_matmul. y[i][r] is the sum, in f32, over the
// runs of scale_cols columns in order, of
//   (sum over the run's columns of (q - zero) * (x / scale of x))
//     * (scale of w * scale of x)
// and then, if the type has minimums,
//   minimum of w * (scale of x * sum over the run of (x / scale of x)).
// The inner sums are those of integers and below 2^31, so every order of adding
// gives the same value.
struct GgmlMatMulArgs {
  GgmlWeights w;
  QuantizedActivations x;  // with GgmlActivations
  float* y = nullptr;      // [x.num_rows, w.rows]
  int64_t y_stride = 0;    // elements from one row of y to the next
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_GGML_MATMUL_ARGS_H_
