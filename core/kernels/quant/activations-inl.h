// SPDX-License-Identifier: Apache-2.0
// Quantizes activations; QuantizedActivations describes the result.

#if defined(RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_INL_H_
#undef RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANT_ACTIVATIONS_INL_H_
#endif

#include "core/kernels/extensions-inl.h"
#include "core/kernels/ggml/layout.h"
#include "core/kernels/quant/activations.h"
#include "core/kernels/quant/dot-inl.h"
#include "core/kernels/quant/layout-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// Returns the largest magnitude in a group; NaN if there is a NaN. The bits of
// magnitudes are ordered as integers like the numbers, with NaN on top.
HWY_INLINE float LargestMagnitude(const float* x) {
  VI largest = hn::Zero(kI);
  for (size_t i = 0; i < kGroupCols; i += kLanes) {
    const VF magnitudes = hn::Abs(hn::LoadU(kF, x + i));
    largest = hn::Max(largest, hn::BitCast(kI, magnitudes));
  }
  return hn::GetLane(hn::BitCast(kF, hn::MaxOfLanes(kI, largest)));
}

// The largest int8 and int16 activations.
constexpr float kMaxInt8 = 127, kMaxInt16 = 127 * 256;

#if HWY_TARGET != HWY_SCALAR
// Stores lanes, which fit int16, in the order of permuted_int16.
HWY_INLINE void StorePermuted(VI values, int16_t* to) {
  const hn::Rebind<int16_t, DF> d;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  HWY_ALIGN static constexpr uint8_t kOrder[32] = {
      0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
      0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
  const auto lanes = hn::DemoteTo(d, values);
  hn::StoreU(hn::TableLookupBytes(lanes, hn::BitCast(d, hn::Load(d8, kOrder))),
             d, to);
}
#endif

constexpr int64_t kStoredAtATime = 4 * kLanes;

// Stores kStoredAtATime quantized activations, from element `at` on, in those
// arrays of `to` that are not null. Returns how many are zero.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE size_t StoreValues(const VI (&values)[4],
                              const QuantizedActivations& to, int64_t at) {
  size_t zeros = 0;
  for (int i = 0; i < 4; ++i) {
    const int32_t value = hn::GetLane(values[i]);
    zeros += value == 0;
    const int32_t high = to.is_int16 ? (value + 128) >> 8 : value;
    to.high[at + i] = static_cast<int8_t>(high);
    if (!to.is_int16) continue;
    to.low[at + i] = static_cast<int8_t>(value - 256 * high);
  }
  return zeros;
}
#else
using DI16 = hn::Repartition<int16_t, DI>;
using VI16 = hn::Vec<DI16>;
constexpr DI16 kI16;

// Packs int16, which fit int8, to bytes: in each 128 bits those of `a`, then
// those of `b`.
HWY_INLINE VI PackBytes(VI16 a, VI16 b) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64
  return VI{_mm512_packs_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86 && HWY_MAX_BYTES == 32
  return VI{_mm256_packs_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86
  return VI{_mm_packs_epi16(a.raw, b.raw)};
#elif HWY_ARCH_ARM_A64
  return VI{
      vreinterpretq_s32_s8(vcombine_s8(vqmovn_s16(a.raw), vqmovn_s16(b.raw)))};
#else
#error "no conversion to int8 for this processor"
#endif
}

// Stores the int16 of four vectors of x as bytes, in order. They come in the
// order of ReorderDemote2To: in each 128 bits, four of the first of two
// vectors, then four of the second.
HWY_INLINE void StoreInOrder(VI16 first_two, VI16 last_two, int8_t* to) {
  VI bytes = PackBytes(first_two, last_two);
  if constexpr (kLanes > 4) {
    HWY_ALIGN static constexpr int32_t kOrderOf16[16] = {
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    HWY_ALIGN static constexpr int32_t kOrderOf8[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    bytes = hn::TableLookupLanes(
        bytes, hn::SetTableIndices(kI, kLanes == 16 ? kOrderOf16 : kOrderOf8));
  }
  StoreBytes(bytes, reinterpret_cast<uint8_t*>(to));
}

HWY_INLINE size_t StoreValues(const VI (&values)[4],
                              const QuantizedActivations& to, int64_t at) {
  const VI16 a = hn::ReorderDemote2To(kI16, values[0], values[1]);
  const VI16 b = hn::ReorderDemote2To(kI16, values[2], values[3]);
  const size_t zeros = hn::CountTrue(kI16, hn::Eq(a, hn::Zero(kI16))) +
                       hn::CountTrue(kI16, hn::Eq(b, hn::Zero(kI16)));
  if (to.permuted_int16 != nullptr) {
    for (int i = 0; i < 4; ++i) {
      StorePermuted(values[i], to.permuted_int16 + at + i * kLanes);
    }
  }
  if (to.high == nullptr) return zeros;
  if (!to.is_int16) {
    StoreInOrder(a, b, to.high + at);
    return zeros;
  }
  const auto high = [&](VI16 both) HWY_ATTR {
    return hn::ShiftRight<8>(hn::Add(both, hn::Set(kI16, 128)));
  };
  const auto low = [&](VI16 both) HWY_ATTR {
    return hn::ShiftRight<8>(hn::ShiftLeft<8>(both));
  };
  StoreInOrder(high(a), high(b), to.high + at);
  StoreInOrder(low(a), low(b), to.low + at);
  return zeros;
}
#endif

// The fewest columns that share a scale in weights of a GGML block type.
constexpr int64_t kMinRunCols = 16;
constexpr int64_t kGroupRuns = kGroupCols / kMinRunCols;

// The q that GGML's weights of this layout have for zero when the dot product
// takes them: bytes may have been made signed before.
HWY_INLINE int32_t GgmlZero(const GgmlLayout& layout) {
#if HWY_TARGET != HWY_SCALAR
  if (layout.zero == kQuantZero && Dot::kIsSigned) return 0;
#endif
  return layout.zero;
}

// Stores the sums of a group: `sums` has one for each kMinRunCols columns. `at`
// is QuantizedActivations::Index.
HWY_INLINE void StoreGgmlSums(const int32_t (&sums)[kGroupRuns], float scale,
                              int64_t at, const GgmlActivations& to) {
  const GgmlLayout layout = GgmlLayoutOf(to.type);
  const int64_t joined = layout.scale_cols / kMinRunCols;
  const int64_t runs = kGroupCols / layout.scale_cols;
  for (int64_t run = 0; run < runs; ++run) {
    int32_t sum = 0;
    for (int64_t i = 0; i < joined; ++i) sum += sums[run * joined + i];
    to.offsets[at * runs + run] = -GgmlZero(layout) * sum;
    if (to.scaled == nullptr) continue;
    to.scaled[at * runs + run] = scale * static_cast<float>(sum);
  }
}

// KernelTable::quantize_row.
int64_t QuantizeRow(const float* x, const QuantizedActivations& to,
                    int64_t row) {
  const float max = to.is_int16 ? kMaxInt16 : kMaxInt8;
  const bool is_for_ggml = GgmlLayoutOf(to.ggml.type).bits != 0;
  size_t zeros = 0;
  for (int64_t group = 0; group < to.groups(); ++group, x += kGroupCols) {
    const float largest = LargestMagnitude(x);
    const VF inverse = hn::Set(kF, largest > 0 ? max / largest : 0.0f);
    const int64_t at = to.Index(row, group);
    const VI zero = hn::Zero(kI);
    VI sums[kGroupRuns] = {zero, zero, zero, zero};
    HWY_UNROLL(4)
    for (int64_t i = 0; i < kGroupCols; i += kStoredAtATime) {
      VI values[4];
      HWY_UNROLL(4)
      for (int64_t j = 0; j < 4; ++j) {
        const VF scaled = hn::Mul(hn::LoadU(kF, x + i + j * kLanes), inverse);
        // NaN becomes 1, so that no kernel skips its column as zero.
        values[j] = hn::NearestInt(
            hn::IfThenElse(hn::IsNaN(scaled), hn::Set(kF, 1.0f), scaled));
        VI& sum = sums[(i + j * kLanes) / kMinRunCols];
        sum = hn::Add(sum, values[j]);
      }
      zeros += StoreValues(values, to, at * kGroupCols + i);
    }
    to.scales[at] = largest / max * to.ggml.factor;
    int32_t run_sums[kGroupRuns] = {}, sum = 0;
    for (int64_t run = 0; run < kGroupRuns; ++run) {
      run_sums[run] = hn::GetLane(hn::SumOfLanes(kI, sums[run]));
      sum += run_sums[run];
    }
    to.offsets[at] = -kQuantZero * sum;
    if (is_for_ggml) StoreGgmlSums(run_sums, to.scales[at], at, to.ggml);
  }
  return static_cast<int64_t>(zeros);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
