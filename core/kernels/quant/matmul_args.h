// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_QUANT_MATMUL_ARGS_H_
#define RWKVD_CORE_KERNELS_QUANT_MATMUL_ARGS_H_

#include <cstdint>

#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {

// Arguments of KernelTable::quantized_matmul. y[i][r] is the sum over the
// groups g in order, in f32, of
//   (sum over g's columns of (w / scale of w) * (x / scale of x))
//     * (scale of w * scale of x).
// The inner sum is one of integers and below 2^31, so every order of adding
// gives the same value.
struct QuantizedMatMulArgs {
  QuantizedWeights w;
  QuantizedActivations x;
  float* y = nullptr;    // [x.num_rows, w.rows]
  int64_t y_stride = 0;  // elements from one row of y to the next
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_QUANT_MATMUL_ARGS_H_
