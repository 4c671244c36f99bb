// SPDX-License-Identifier: Apache-2.0
// Building blocks of all kernels: f32 vectors, the last partial vector of an
// array, weights of any dtype widened to f32, and the sum of a vector's lanes.
// Includes no other kernel file.

#if defined(RWKVD_CORE_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_KERNELS_SIMD_INL_H_
#undef RWKVD_CORE_KERNELS_SIMD_INL_H_
#else
#define RWKVD_CORE_KERNELS_SIMD_INL_H_
#endif

#include <string.h>

#include "core/base/dtype.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Kernels keep vectors in arrays, so the size of a vector must be known at
// compile time: the widest fixed size of the target, at most 16 lanes.
using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;
using D16 = hn::Rebind<uint16_t, DF>;
constexpr DF kF;
constexpr size_t kLanes = hn::MaxLanes(DF());

// ---- The last elements of an array, too few to fill a vector.

// Returns `count` elements at `p`, fewer than kLanes; the other lanes are zero.
HWY_INLINE VF LoadPart(const float* p, size_t count) {
  HWY_ALIGN float lanes[kLanes] = {};
  memcpy(lanes, p, count * sizeof(float));
  return hn::Load(kF, lanes);
}

// Writes the first `count` lanes of `v` to `p`.
HWY_INLINE void StorePart(VF v, float* p, size_t count) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, kF, lanes);
  memcpy(p, lanes, count * sizeof(float));
}

// Load and store a whole vector, or the partial one at the end of an array.
// Both run through the same arithmetic, so that the value of an element does
// not depend on its position.
struct WholeVector {
  HWY_INLINE VF operator()(const float* p) const { return hn::LoadU(kF, p); }
  HWY_INLINE void operator()(VF v, float* p) const { hn::StoreU(v, kF, p); }
};
struct PartOfVector {
  size_t count;
  HWY_INLINE VF operator()(const float* p) const { return LoadPart(p, count); }
  HWY_INLINE void operator()(VF v, float* p) const { StorePart(v, p, count); }
};

// Calls fn(i, io) for each vector of an array of n elements. `io` loads and
// stores the vector at offset i: a WholeVector or, at the end, a PartOfVector.
template <class Fn>
HWY_INLINE void ForEachVector(size_t n, Fn fn) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, WholeVector());
  if (i < n) fn(i, PartOfVector{n - i});
}

// Returns whether a micro-kernel for kX rows of x runs next when `left` rows of
// x remain: true if kX rows at a time need fewer passes over the weights than
// kX - 1. The remainder is so spread over the last passes instead of going to a
// small, slow micro-kernel.
template <int kX>
constexpr bool IsNextXRows(int64_t left) {
  if constexpr (kX == 1) {
    return left > 0;
  } else {
    const auto passes = [left](int64_t rows) {
      return (left + rows - 1) / rows;
    };
    return passes(kX) < passes(kX - 1);
  }
}

// ---- Weights widened to f32.

// Weight<kType>::Load(p) returns the kLanes weights at `p`, at any alignment,
// as f32.
template <DType kType>
struct Weight;

template <>
struct Weight<DType::kF32> {
  static constexpr size_t kBytes = 4;
  static HWY_INLINE VF Load(const uint8_t* p) {
    return hn::LoadU(kF, reinterpret_cast<const float*>(p));
  }
};

template <>
struct Weight<DType::kBF16> {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
    const hn::RebindToUnsigned<DF> d32;
    const auto bits = hn::LoadU(D16(), reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(kF, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
  }
};

template <>
struct Weight<DType::kF16> {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || \
    HWY_TARGET == HWY_SSE4
    // These targets have no instruction for f16, and Highway's emulation turns
    // infinity into 2^16. Shifted to their positions in an f32, the bits stand
    // for the number times 2^-112. An exponent of all ones (infinity, NaN) must
    // stay all ones.
    const hn::RebindToUnsigned<DF> d32;
    const auto bits = hn::PromoteTo(
        d32, hn::LoadU(D16(), reinterpret_cast<const uint16_t*>(p)));
    const auto sign = hn::And(bits, hn::Set(d32, 0x8000u));
    const auto magnitude = hn::ShiftLeft<13>(hn::Xor(bits, sign));
    const auto value = hn::BitCast(
        d32, hn::Mul(hn::BitCast(kF, magnitude), hn::Set(kF, 0x1p112f)));
    const auto is_special =
        hn::Eq(hn::And(magnitude, hn::Set(d32, 0x0f800000u)),
               hn::Set(d32, 0x0f800000u));
    const auto special = hn::Or(magnitude, hn::Set(d32, 0x7f800000u));
    return hn::BitCast(kF, hn::Or(hn::IfThenElse(is_special, special, value),
                                  hn::ShiftLeft<16>(sign)));
#else
    const hn::Rebind<hwy::float16_t, DF> d16;
    return hn::PromoteTo(
        kF, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#endif
  }
};

// Returns `count` weights at `p`, fewer than kLanes; the other lanes are zero.
template <DType kType>
HWY_INLINE VF LoadWeightPart(const uint8_t* p, size_t count) {
  HWY_ALIGN uint8_t lanes[kLanes * sizeof(float)] = {};
  memcpy(lanes, p, count * Weight<kType>::kBytes);
  return Weight<kType>::Load(lanes);
}

// Returns the sum of a vector's lanes: the upper half is added to the lower
// half until one lane is left. Another order would change results: kernels that
// add up lanes by other means must add in the same order.
HWY_INLINE float Total(VF lanes) {
#if HWY_TARGET == HWY_NEON
  // Highway would add neighboring lanes first.
  const VF halves = hn::Add(lanes, hn::Shuffle1032(lanes));
  return hn::GetLane(hn::Add(halves, hn::Shuffle2301(halves)));
#else
  return hn::GetLane(hn::SumOfLanes(kF, lanes));
#endif
}

// ---- Functions.

// Returns y, but NaN where x is NaN. Highway's Exp, Min and Max lose NaN, and a
// damaged weight must not disappear in them: see AllFinite.
HWY_INLINE VF KeepNaN(VF x, VF y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

HWY_INLINE VF Sigmoid(VF x) {
  const VF one = hn::Set(kF, 1.0f);
  // Highway's Exp is not valid for larger arguments; the result is 0 there.
  const VF most = hn::Set(kF, 88.0f);
  const VF exp = hn::Exp(kF, hn::Min(hn::Neg(x), most));
  return KeepNaN(x, hn::Div(one, hn::Add(one, exp)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
