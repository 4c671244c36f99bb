// SPDX-License-Identifier: Apache-2.0
// Quantized matmul without vectors, for Highway's scalar target: the definition
// of the result, step by step.

#if defined(RWKVD_CORE_KERNELS_QUANT_SCALAR_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_SCALAR_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_SCALAR_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_SCALAR_INL_H_
#endif

#include <string.h>

#include "core/kernels/extensions-inl.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/matmul_args.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

// Returns the weight / scale at a position in a packed block.
int QuantAt(const QuantizedWeights& w, const uint8_t* block, int64_t row,
            int64_t col) {
  const QuantPosition position =
      PositionInPackedBlock(w.type, w.order, row, col);
  const int byte = block[position.byte];
  if (w.type == QuantType::kInt8) return byte - kQuantZero;
  return (position.is_high_nibble ? byte & 0xf0 : byte << 4 & 0xf0) -
         kQuantZero;
}

// Returns the element of y for row `row` of packed block `block` and row `i` of
// x.
float QuantizedDot(const QuantizedMatMulArgs& args, int64_t block, int64_t row,
                   int64_t i) {
  const QuantizedWeights& w = args.w;
  const QuantizedActivations& x = args.x;
  const int64_t rows = PackedBlockRows(w.type, w.order), groups = x.groups();
  const uint8_t* const quants =
      w.quants + block * PackedBlockBytes(w.type, w.order, w.cols);
  float total = 0;
  for (int64_t g = 0; g < groups; ++g) {
    int32_t sum = 0;
    for (int64_t c = g * kGroupCols; c < (g + 1) * kGroupCols; ++c) {
      const int64_t at = x.Index(i, g) * kGroupCols + c % kGroupCols;
      const int32_t value =
          x.is_int16 ? 256 * x.high[at] + x.low[at] : x.high[at];
      sum += QuantAt(w, quants, row, c) * value;
    }
    const uint32_t bits = w.scales[(block * groups + g) * rows + row];
    float scale;
    const uint32_t wide = bits << 16;
    memcpy(&scale, &wide, sizeof(scale));
    const float product = scale * x.scales[x.Index(i, g)];
    total = hn::GetLane(hn::MulAdd(hn::Set(kF, static_cast<float>(sum)),
                                   hn::Set(kF, product), hn::Set(kF, total)));
  }
  return total;
}

// KernelTable::quantized_matmul.
void QuantizedMatMul(const QuantizedMatMulArgs& args, int64_t begin,
                     int64_t end) {
  const int64_t size = PackedBlockRows(args.w.type, args.w.order);
  for (int64_t block = begin; block < end; ++block) {
    for (int64_t r = 0; r < size && block * size + r < args.w.rows; ++r) {
      for (int64_t i = 0; i < args.x.num_rows; ++i) {
        args.y[i * args.y_stride + block * size + r] =
            QuantizedDot(args, block, r, i);
      }
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
