// SPDX-License-Identifier: Apache-2.0
// Products of quantized weights; quantized.h describes them.

#if defined(RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#undef RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#else
#define RWKVD_CORE_KERNELS_TARGETS_QUANTIZED_KERNELS_INL_H_
#endif

#include <string.h>

#include "core/kernels/amx/bf16_gemv-inl.h"
#include "core/kernels/amx/int8_gemm-inl.h"
#include "core/kernels/quant/dot-inl.h"
#ifdef RWKVD_DOT_AMX
#include "core/kernels/gemm/row_major-inl.h"
#endif
#include "core/kernels/quant/column_blocks-inl.h"
#include "core/kernels/quant/layout.h"
#include "core/kernels/quant/row_panels-inl.h"
#include "core/kernels/simd-inl.h"
#include "hwy/highway.h"

RWKVD_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

// ---- Rows of x.

// The largest magnitude in a group.
HWY_INLINE float Largest(const float* x) {
  VF largest = hn::Zero(kF);
  for (size_t i = 0; i < kGroupCols; i += kLanes) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(kF, x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(kF, largest));
}

// The largest number that one digit, or two, can hold.
constexpr float kOneDigit = 127, kTwoDigits = 127 * 256;

#if HWY_TARGET != HWY_SCALAR
// Lanes that hold 16 bits, in the order of QuantizedActivations::pairs.
HWY_INLINE void StorePairs(VI values, int16_t* to) {
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

// Stores kStoredAtATime values of x in the forms of `to` that are there, the
// first of them at element `at`. Returns how many are zero.
constexpr int64_t kStoredAtATime = 4 * kLanes;
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE size_t StoreValues(const VI (&values)[4],
                              const QuantizedActivations& to, int64_t at) {
  size_t zeros = 0;
  for (int i = 0; i < 4; ++i) {
    const int32_t value = hn::GetLane(values[i]);
    zeros += value == 0;
    const int32_t upper = to.int16_activations ? (value + 128) >> 8 : value;
    to.q[at + i] = static_cast<int8_t>(upper);
    if (!to.int16_activations) continue;
    to.low[at + i] = static_cast<int8_t>(value - 256 * upper);
  }
  return zeros;
}
#else
using DWords = hn::Repartition<int16_t, DI>;
using Words = hn::Vec<DWords>;
constexpr DWords kWords;

// Numbers that fit a byte: of each 128 bits, those of `a`, then those of `b`.
HWY_INLINE VI PackBytes(Words a, Words b) {
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
#error "no pack of bytes for this processor"
#endif
}

// Stores the numbers of four vectors of f32 as bytes. They come as
// ReorderDemote2To leaves them: of each 128 bits of the first of two vectors
// four words, then of the second.
HWY_INLINE void StoreInOrder(Words first_two, Words last_two, int8_t* to) {
  VI bytes = PackBytes(first_two, last_two);
  if constexpr (kLanes > 4) {
    HWY_ALIGN static constexpr int32_t kFrom[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                    2, 6, 10, 14, 3, 7, 11, 15};
    HWY_ALIGN static constexpr int32_t kFromOf8[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    bytes = hn::TableLookupLanes(
        bytes, hn::SetTableIndices(kI, kLanes == 16 ? kFrom : kFromOf8));
  }
  StoreBytes(bytes, reinterpret_cast<uint8_t*>(to));
}

HWY_INLINE size_t StoreValues(const VI (&values)[4],
                              const QuantizedActivations& to, int64_t at) {
  const Words a = hn::ReorderDemote2To(kWords, values[0], values[1]);
  const Words b = hn::ReorderDemote2To(kWords, values[2], values[3]);
  const size_t zeros = hn::CountTrue(kWords, hn::Eq(a, hn::Zero(kWords))) +
                       hn::CountTrue(kWords, hn::Eq(b, hn::Zero(kWords)));
  if (to.pairs != nullptr) {
    for (int i = 0; i < 4; ++i) {
      StorePairs(values[i], to.pairs + at + i * kLanes);
    }
  }
  if (to.q == nullptr) return zeros;
  if (!to.int16_activations) {
    StoreInOrder(a, b, to.q + at);
    return zeros;
  }
  const auto upper = [&](Words both) HWY_ATTR {
    return hn::ShiftRight<8>(hn::Add(both, hn::Set(kWords, 128)));
  };
  const auto low = [&](Words both) HWY_ATTR {
    return hn::ShiftRight<8>(hn::ShiftLeft<8>(both));
  };
  StoreInOrder(upper(a), upper(b), to.q + at);
  StoreInOrder(low(a), low(b), to.low + at);
  return zeros;
}
#endif

int64_t QuantizeRow(const float* x, const QuantizedActivations& to,
                    int64_t row) {
  const float most = to.int16_activations ? kTwoDigits : kOneDigit;
  size_t zeros = 0;
  for (int64_t group = 0; group < to.groups(); ++group, x += kGroupCols) {
    const float largest = Largest(x);
    const VF inverse = hn::Set(kF, largest > 0 ? most / largest : 0.0f);
    const int64_t at = to.At(row, group);
    VI sum = hn::Zero(kI);
    for (int64_t i = 0; i < kGroupCols; i += kStoredAtATime) {
      VI values[4];
      HWY_UNROLL(4)
      for (int64_t j = 0; j < 4; ++j) {
        const VF scaled = hn::Mul(hn::LoadU(kF, x + i + j * kLanes), inverse);
        values[j] = hn::NearestInt(scaled);
        sum = hn::Add(sum, values[j]);
      }
      zeros += StoreValues(values, to, at * kGroupCols + i);
    }
    to.scales[at] = largest / most;
    to.offsets[at] = -kQuantZero * hn::GetLane(hn::SumOfLanes(kI, sum));
  }
  return static_cast<int64_t>(zeros);
}

#if HWY_TARGET == HWY_SCALAR

// ---- The plain form, without vectors.

int QuantAt(const QuantizedWeights& w, const uint8_t* stripe, int64_t row,
            int64_t col) {
  const QuantPosition place = PositionInPackedBlock(w.type, w.order, row, col);
  const int byte = stripe[place.byte];
  if (w.type == QuantType::kInt8) return byte - kQuantZero;
  return (place.upper ? byte & 0xf0 : byte << 4 & 0xf0) - kQuantZero;
}

float QuantizedDot(const QuantizedMatMulArgs& args, int64_t stripe, int64_t row,
                   int64_t i) {
  const QuantizedWeights& w = args.w;
  const QuantizedActivations& x = args.x;
  const int64_t rows = PackedBlockRows(w.type, w.order), groups = x.groups();
  const uint8_t* const quants =
      w.quants + stripe * PackedBlockBytes(w.type, w.order, w.cols);
  float total = 0;
  for (int64_t g = 0; g < groups; ++g) {
    int32_t sum = 0;
    for (int64_t c = g * kGroupCols; c < (g + 1) * kGroupCols; ++c) {
      const int64_t at = x.At(i, g) * kGroupCols + c % kGroupCols;
      const int32_t value =
          x.int16_activations ? 256 * x.q[at] + x.low[at] : x.q[at];
      sum += QuantAt(w, quants, row, c) * value;
    }
    const uint32_t bits = w.scales[(stripe * groups + g) * rows + row];
    float scale;
    const uint32_t wide = bits << 16;
    memcpy(&scale, &wide, sizeof(scale));
    const float product = scale * x.scales[x.At(i, g)];
    total = hn::GetLane(hn::MulAdd(hn::Set(kF, static_cast<float>(sum)),
                                   hn::Set(kF, product), hn::Set(kF, total)));
  }
  return total;
}

void QuantizedMatMul(const QuantizedMatMulArgs& args, int64_t stripe_begin,
                     int64_t stripe_end) {
  const int64_t size = PackedBlockRows(args.w.type, args.w.order);
  for (int64_t stripe = stripe_begin; stripe < stripe_end; ++stripe) {
    for (int64_t r = 0; r < size && stripe * size + r < args.w.rows; ++r) {
      for (int64_t i = 0; i < args.x.num; ++i) {
        args.y[i * args.y_stride + stripe * size + r] =
            QuantizedDot(args, stripe, r, i);
      }
    }
  }
}

#else  // HWY_TARGET != HWY_SCALAR

void QuantizedMatMul(const QuantizedMatMulArgs& args, int64_t stripe_begin,
                     int64_t stripe_end) {
#ifdef RWKVD_DOT_AMX
  if (MultiplyWithTiles(args, stripe_begin, stripe_end)) return;
#endif
  const bool is_int8 = args.w.type == QuantType::kInt8;
  if (args.w.order == QuantOrder::kRowPanels) {
    MultiplyRows(args, stripe_begin, stripe_end);
  } else if (is_int8) {
    MultiplyBlocks<QuantType::kInt8>(args, stripe_begin, stripe_end);
  } else {
    MultiplyBlocks<QuantType::kInt4>(args, stripe_begin, stripe_end);
  }
}

#endif  // HWY_TARGET

#ifdef RWKVD_DOT_AMX
void MatMulOfAmx(const MatMulArgs& args, int64_t row_begin, int64_t row_end) {
  if (MatMulWithTiles(args, row_begin, row_end)) return;
  MatMul(args, row_begin, row_end);
}
#endif

// Puts this target's functions into `table`.
[[maybe_unused]] void SetQuantizedKernels(KernelTable* table) {
#if HWY_TARGET != HWY_SCALAR
  table->wants_int16_activations = Dot::kPairs;
#endif
  table->quantize_row = &QuantizeRow;
  table->quantized_matmul = &QuantizedMatMul;
#ifdef RWKVD_DOT_AMX
  table->matmul = &MatMulOfAmx;
#endif
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
