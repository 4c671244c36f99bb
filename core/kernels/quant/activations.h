// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_H_
#define RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_H_

#include <cstdint>

#include "core/base/dtype.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {

// What matmuls with weights of a GGML block type take in addition: sums over
// the columns that share a scale there, the runs of GgmlLayout::scale_cols
// columns. A view, and a part of QuantizedActivations.
struct GgmlActivations {
  DType type = DType::kF32;  // of the weights; kF32: of no block type
  float factor = 1;          // of the weights; `scales` include it
  // Both are [groups][stride][kGroupCols / scale_cols]:
  // -zero * the sum of x / scale over the run, which corrects sums over
  // unsigned weights;
  int32_t* offsets = nullptr;
  // scale * the sum of x / scale, which minimums are multiplied by; null if the
  // type has none.
  float* scaled = nullptr;
};

// Rows of x (activations), quantized for a matmul with quantized weights. A
// view, filled by KernelTable::quantize_row. Each row has a scale for each
// group of kGroupCols columns:
//   int8:   x = scale * high,               high in [-127, 127]
//   int16:  x = scale * (256 * high + low), 256 * high + low in [-32512, 32512]
//
// Kernels that multiply int16 (KernelTable::wants_int16_activations) take
// x / scale whole for matmuls with weights of 8 bits, instead of `high` and
// `low`; for column blocks, in addition to `high`.
//
// The same group of all rows comes before the next group, so that rows which
// are multiplied together are adjacent in memory.
struct QuantizedActivations {
  int64_t num_rows = 0;
  int64_t cols = 0;    // a multiple of kGroupCols
  int64_t stride = 0;  // rows from one group to the next, at least num_rows
  bool is_int16 = false;
  // Each [groups][stride][kGroupCols], or null if no kernel reads it. `high`
  // holds int8 activations, or the high parts of int16 ones.
  int8_t* high = nullptr;
  int8_t* low = nullptr;
  // x / scale as int16, the columns of each quad in the order 0, 2, 1, 3.
  int16_t* permuted_int16 = nullptr;
  float* scales = nullptr;  // [groups][stride]
  // [groups][stride]: -kQuantZero * the sum of x / scale over the group, which
  // corrects sums over unsigned weights.
  int32_t* offsets = nullptr;
  GgmlActivations ggml;

  int64_t groups() const { return cols / kGroupCols; }
  // Index of a row's group in `scales` and `offsets`; times kGroupCols, in the
  // other arrays.
  int64_t Index(int64_t row, int64_t group) const {
    return group * stride + row;
  }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_H_
