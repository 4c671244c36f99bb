// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_QUANTIZE_H_
#define RWKVD_CORE_KERNELS_QUANTIZE_H_

#include <cstdint>

#include "core/kernels/quantized.h"

namespace rwkvd {

// One stripe (a panel or a block, see quantized.h) of a matrix, before and
// after.
struct QuantizeArgs {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRows;
  const float* w = nullptr;    // [rows, cols], row-major
  int64_t rows = 0;            // at most StripeRows(type, order)
  int64_t cols = 0;            // a multiple of kGroupCols
  uint8_t* quants = nullptr;   // [StripeBytes(type, order, cols)], written
  uint16_t* scales = nullptr;  // bf16 [groups][StripeRows()], written
};

// Quantizes a stripe. Of the bf16 numbers near the largest weight of a group
// divided by the largest q, its scale is the one that leaves the smallest sum
// of squared errors; each q is the nearest. A group without a weight of at
// least 2^-100 is zero, as are the rows missing to a whole stripe.
//
// The same bytes on every processor. Thread-safe. False if a weight is not
// finite: what was written then means nothing.
bool QuantizeStripe(const QuantizeArgs& args);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_QUANTIZE_H_
