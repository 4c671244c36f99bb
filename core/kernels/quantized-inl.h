// SPDX-License-Identifier: Apache-2.0
// Products of quantized weights; quantized.h describes them.

#if defined(RWKVD_CORE_KERNELS_QUANTIZED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_QUANTIZED_INL_H_
#undef RWKVD_CORE_KERNELS_QUANTIZED_INL_H_
#else
#define RWKVD_CORE_KERNELS_QUANTIZED_INL_H_
#endif

#include <string.h>

#include "core/kernels/amx_bf16_decode-inl.h"
#include "core/kernels/amx_panels-inl.h"
#include "core/kernels/dot-inl.h"
#ifdef RWKVD_DOT_AMX
#include "core/kernels/matmul-inl.h"
#endif
#include "core/kernels/quantized.h"
#include "core/kernels/quantized_columns-inl.h"
#include "core/kernels/quantized_panels-inl.h"
#include "core/kernels/vectors-inl.h"
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
// Lanes that hold 16 bits, in the order of QuantizedRows::pairs.
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

int64_t QuantizeRow(const float* x, const QuantizedRows& to, int64_t row) {
  const hn::Rebind<int8_t, DF> d8;
  const float most = to.two_digits ? kTwoDigits : kOneDigit;
  size_t zeros = 0;
  for (int64_t group = 0; group < to.groups(); ++group, x += kGroupCols) {
    const float largest = Largest(x);
    const VF inverse = hn::Set(kF, largest > 0 ? most / largest : 0.0f);
    const int64_t at = to.At(row, group);
    VI sum = hn::Zero(kI);
    for (int64_t i = 0; i < kGroupCols; i += kLanes) {
      const VI value = hn::NearestInt(hn::Mul(hn::LoadU(kF, x + i), inverse));
      sum = hn::Add(sum, value);
      zeros += hn::CountTrue(kI, hn::Eq(value, hn::Zero(kI)));
      const int64_t digit = at * kGroupCols + i;
#if HWY_TARGET != HWY_SCALAR
      if (to.pairs != nullptr) StorePairs(value, to.pairs + digit);
#endif
      if (to.q == nullptr) continue;
      if (!to.two_digits) {
        hn::StoreU(hn::DemoteTo(d8, value), d8, to.q + digit);
        continue;
      }
      const VI low = hn::ShiftRight<24>(hn::ShiftLeft<24>(value));
      const VI upper = hn::ShiftRight<8>(hn::Sub(value, low));
      hn::StoreU(hn::DemoteTo(d8, upper), d8, to.q + digit);
      hn::StoreU(hn::DemoteTo(d8, low), d8, to.low + digit);
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
  const QuantPlace place = PlaceInStripe(w.type, w.order, row, col);
  const int byte = stripe[place.byte];
  if (w.type == QuantType::kInt8) return byte - kQuantZero;
  return (place.upper ? byte & 0xf0 : byte << 4 & 0xf0) - kQuantZero;
}

float QuantizedDot(const QuantizedMatMulArgs& args, int64_t stripe, int64_t row,
                   int64_t i) {
  const QuantizedWeights& w = args.w;
  const QuantizedRows& x = args.x;
  const int64_t rows = StripeRows(w.type, w.order), groups = x.groups();
  const uint8_t* const quants =
      w.quants + stripe * StripeBytes(w.type, w.order, w.cols);
  float total = 0;
  for (int64_t g = 0; g < groups; ++g) {
    int32_t sum = 0;
    for (int64_t c = g * kGroupCols; c < (g + 1) * kGroupCols; ++c) {
      const int64_t at = x.At(i, g) * kGroupCols + c % kGroupCols;
      const int32_t value = x.two_digits ? 256 * x.q[at] + x.low[at] : x.q[at];
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
  const int64_t size = StripeRows(args.w.type, args.w.order);
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
  if (args.w.order == QuantOrder::kRows) {
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
  table->takes_pairs = Dot::kPairs;
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
