// SPDX-License-Identifier: Apache-2.0
// Matmul with weights of GGML's block types without vectors, for Highway's
// scalar target: the definition of the result, step by step.

#if defined(RWKVD_CORE_KERNELS_GGML_SCALAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_GGML_SCALAR_INL_H_
#undef RWKVD_CORE_KERNELS_GGML_SCALAR_INL_H_
#else
#define RWKVD_CORE_KERNELS_GGML_SCALAR_INL_H_
#endif

#include "core/base/dtype.h"
#include "core/kernels/extensions-inl.h"
#include "core/kernels/ggml/layout.h"
#include "core/kernels/ggml/matmul_args.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

// Returns the bits of quant number `number` of a group in a plane of `bits`
// bits per quant.
int PlaneBits(const uint8_t* plane, int bits, int64_t number) {
  const int64_t per_byte = 8 / bits, quad = number / 64;
  const int byte = plane[quad / per_byte * 64 + number % 64];
  return byte >> (quad % per_byte * bits) & ((1 << bits) - 1);
}

// Returns the q of a row and column of the group at `group`.
int GgmlQuantAt(const GgmlLayout& layout, const uint8_t* group, int64_t row,
                int64_t col) {
  const int64_t number = (col / 4 * kPanelRows + row) * 4 + col % 4;
  constexpr int64_t kPairsBytes = 256, kNibblesBytes = 512;
  switch (layout.bits) {
    case 2:
      return PlaneBits(group, 2, number);
    case 3:
      return PlaneBits(group, 2, number) |
             PlaneBits(group + kPairsBytes, 1, number) << 2;
    case 5:
      return PlaneBits(group, 4, number) |
             PlaneBits(group + kNibblesBytes, 1, number) << 4;
    case 6:
      return PlaneBits(group, 4, number) |
             PlaneBits(group + kNibblesBytes, 2, number) << 4;
    case 8:
      return group[number];
    default: {
      const int q = PlaneBits(group, 4, number);
      return layout.is_lookup ? kIq4Quants[q] : q;
    }
  }
}

float F16At(const uint8_t* p, int64_t index) {
  return hn::GetLane(Weight<DType::kF16>::Load(p + 2 * index));
}

// The scale and the minimum of a run of a span.
struct RunScale {
  float scale, minimum;
};
RunScale RunScaleAt(DType type, const uint8_t* span, int64_t run, int64_t row) {
  const GgmlLayout layout = GgmlLayoutOf(type);
  const int64_t at = run * kPanelRows + row;
  if (!layout.has_super_scales) {
    return {F16At(span, at), layout.has_minimums ? F16At(span + 64, at) : 0.0f};
  }
  const uint8_t* const scales = span + 64;
  const int64_t minimums = GgmlSpanCols(type) / layout.scale_cols * kPanelRows;
  int scale = scales[at], minimum = 0;
  if (type == DType::kQ2_K) {
    minimum = scale >> 4;
    scale &= 15;
  } else if (layout.has_minimums) {
    minimum = scales[minimums + at];
  }
  if (layout.has_signed_scales) scale = static_cast<int8_t>(scale);
  return {F16At(span, row) * static_cast<float>(scale),
          F16At(span + 2 * kPanelRows, row) * static_cast<float>(minimum)};
}

float MulAddOf(float a, float b, float c) {
  return hn::GetLane(
      hn::MulAdd(hn::Set(kF, a), hn::Set(kF, b), hn::Set(kF, c)));
}

// Adds run number `run` of a group to `total`.
float AddRun(const GgmlMatMulArgs& args, const uint8_t* span, int64_t group,
             int64_t run, int64_t row, int64_t i, float total) {
  const GgmlLayout layout = GgmlLayoutOf(args.w.type);
  const int64_t span_groups = GgmlSpanCols(args.w.type) / kGroupCols;
  const int64_t runs = kGroupCols / layout.scale_cols;
  const int64_t index = group % span_groups;
  const uint8_t* const quants =
      span + GgmlHeaderBytes(args.w.type) + index * GgmlGroupBytes(args.w.type);
  const QuantizedActivations& x = args.x;
  const int64_t at = x.Index(i, group);
  int32_t sum = x.ggml.offsets[at * runs + run];
  for (int64_t c = run * layout.scale_cols; c < (run + 1) * layout.scale_cols;
       ++c) {
    const int64_t from = at * kGroupCols + c;
    const int32_t value =
        x.is_int16 ? 256 * x.high[from] + x.low[from] : x.high[from];
    sum += GgmlQuantAt(layout, quants, row, c) * value;
  }
  const RunScale scale = RunScaleAt(args.w.type, span, index * runs + run, row);
  total = MulAddOf(static_cast<float>(sum), scale.scale * x.scales[at], total);
  if (!layout.has_minimums) return total;
  return MulAddOf(scale.minimum, x.ggml.scaled[at * runs + run], total);
}

// KernelTable::ggml_matmul.
void GgmlMatMul(const GgmlMatMulArgs& args, int64_t begin, int64_t end) {
  const DType type = args.w.type;
  const int64_t runs = kGroupCols / GgmlLayoutOf(type).scale_cols;
  const int64_t span_groups = GgmlSpanCols(type) / kGroupCols;
  for (int64_t row = begin * kPanelRows;
       row < end * kPanelRows && row < args.w.rows; ++row) {
    const uint8_t* const panel =
        args.w.panels + row / kPanelRows * GgmlPanelBytes(type, args.w.cols);
    for (int64_t i = 0; i < args.x.num_rows; ++i) {
      float total = 0;
      for (int64_t g = 0; g < args.x.groups(); ++g) {
        const uint8_t* const span =
            panel + g / span_groups * GgmlSpanBytes(type);
        for (int64_t run = 0; run < runs; ++run) {
          total = AddRun(args, span, g, run, row % kPanelRows, i, total);
        }
      }
      args.y[i * args.y_stride + row] = total;
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
