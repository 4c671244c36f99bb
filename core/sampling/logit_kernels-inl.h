// SPDX-License-Identifier: Apache-2.0
// The functions of LogitKernels. logit_kernels.cc compiles them for every
// target.

#if defined(RWKVD_CORE_SAMPLING_LOGIT_KERNELS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_CORE_SAMPLING_LOGIT_KERNELS_INL_H_
#undef RWKVD_CORE_SAMPLING_LOGIT_KERNELS_INL_H_
#else
#define RWKVD_CORE_SAMPLING_LOGIT_KERNELS_INL_H_
#endif

#include <cfloat>
#include <limits>

#include "core/sampling/exp_polynomial.h"
#include "core/sampling/logit_kernels.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A block is added up in this many partial sums: element i belongs to sum
// i mod 8, whatever the length of a vector.
constexpr size_t kSums = 8;

constexpr hn::CappedTag<double, kSums> kD;
constexpr hn::Rebind<float, decltype(kD)> kHalf;  // the same number of floats
constexpr hn::CappedTag<float, kLogitBlock> kF;
using VD = hn::Vec<decltype(kD)>;
using VF = hn::Vec<decltype(kF)>;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Returns `block` if it is complete, else a copy in `padded` that is filled up
// with -infinity, which all functions skip.
HWY_INLINE const float* WholeBlock(const float* block, size_t size,
                                   float* padded) {
  if (size >= kLogitBlock) return block;
  for (size_t i = 0; i < kLogitBlock; ++i) {
    padded[i] = i < size ? block[i] : kMinusInfinity;
  }
  return padded;
}

// Returns 2^t: the same computation as rwkvd::Exp, with t = x * scale / ln 2.
HWY_INLINE VD PowerOfTwo(VD t) {
  const VD clamped = hn::Max(t, hn::Set(kD, kLowestExponent));
  const VD rounded = hn::Add(clamped, hn::Set(kD, kRounder));
  const VD f = hn::Sub(clamped, hn::Sub(rounded, hn::Set(kD, kRounder)));
  VD p = hn::Set(kD, kPowerOfTwo[0]);
  for (size_t i = 1; i < sizeof(kPowerOfTwo) / sizeof(double); ++i) {
    p = hn::Add(hn::Mul(p, f), hn::Set(kD, kPowerOfTwo[i]));
  }
  const hn::RebindToSigned<decltype(kD)> di;
  const auto exponent = hn::ShiftLeft<52>(hn::BitCast(di, rounded));
  const VD power = hn::BitCast(kD, hn::Add(hn::BitCast(di, p), exponent));
  return hn::IfThenElseZero(hn::Gt(t, hn::Set(kD, kLowestExponent)), power);
}

HWY_INLINE float MaxOfBlock(const float* block) {
  VF largest = hn::Set(kF, kMinusInfinity);
  for (size_t i = 0; i < kLogitBlock; i += hn::Lanes(kF)) {
    const VF x = hn::LoadU(kF, block + i);
    const auto is_logit = hn::Le(hn::Abs(x), hn::Set(kF, FLT_MAX));
    largest = hn::Max(largest, hn::IfThenElse(is_logit, x, largest));
  }
  return hn::GetLane(hn::MaxOfLanes(kF, largest));
}

void BlockMax(const float* logits, size_t n, float* maxima) {
  HWY_ALIGN float padded[kLogitBlock];
  for (size_t i = 0; i < n; i += kLogitBlock) {
    *maxima++ = MaxOfBlock(WholeBlock(logits + i, n - i, padded));
  }
}

HWY_INLINE double SumExpOfBlock(const float* block, VD largest, VD factor) {
  HWY_ALIGN double sums[kSums];
  for (size_t first = 0; first < kSums; first += hn::Lanes(kD)) {
    VD sum = hn::Zero(kD);
    for (size_t i = first; i < kLogitBlock; i += kSums) {
      const VD x = hn::PromoteTo(kD, hn::LoadU(kHalf, block + i));
      const auto is_logit = hn::Le(hn::Abs(x), hn::Set(kD, FLT_MAX));
      const VD t = hn::Mul(hn::Sub(x, largest), factor);
      sum = hn::Add(sum, hn::IfThenElseZero(is_logit, PowerOfTwo(t)));
    }
    hn::Store(sum, kD, sums + first);
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
         ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

void BlockSumExp(const float* logits, size_t n, float largest, double scale,
                 double* sums) {
  const VD v_largest = hn::Set(kD, largest);
  const VD factor = hn::Set(kD, scale * kLog2OfE);
  HWY_ALIGN float padded[kLogitBlock];
  for (size_t i = 0; i < n; i += kLogitBlock) {
    *sums++ =
        SumExpOfBlock(WholeBlock(logits + i, n - i, padded), v_largest, factor);
  }
}

void ExpOfEach(const float* logits, size_t n, float largest, double scale,
               double* weights) {
  const VD v_largest = hn::Set(kD, largest);
  const VD factor = hn::Set(kD, scale * kLog2OfE);
  const auto weight = [&](const float* x) HWY_ATTR {
    const VD logit = hn::PromoteTo(kD, hn::LoadU(kHalf, x));
    return PowerOfTwo(hn::Mul(hn::Sub(logit, v_largest), factor));
  };
  const size_t lanes = hn::Lanes(kD);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(weight(logits + i), kD, weights + i);
  }
  HWY_ALIGN float rest[kSums] = {};
  HWY_ALIGN double results[kSums];
  for (size_t j = i; j < n; ++j) rest[j - i] = logits[j];
  hn::Store(weight(rest), kD, results);
  for (size_t j = i; j < n; ++j) weights[j] = results[j - i];
}

// Optimized for blocks in which nothing is found, as in almost all of them.
HWY_INLINE size_t FindInBlock(const float* block, size_t begin, float lowest,
                              int32_t* ids) {
  size_t found = 0;
  for (size_t i = 0; i < kLogitBlock; i += hn::Lanes(kF)) {
    const VF x = hn::LoadU(kF, block + i);
    const auto is_found = hn::And(hn::Ge(x, hn::Set(kF, lowest)),
                                  hn::Le(hn::Abs(x), hn::Set(kF, FLT_MAX)));
    if (hn::AllFalse(kF, is_found)) continue;
    const hn::RebindToSigned<decltype(kF)> di;
    const auto indices = hn::Iota(di, static_cast<int32_t>(begin + i));
    // Writes only the elements found, because `ids` may end after them.
    found += hn::CompressBlendedStore(indices, hn::RebindMask(di, is_found), di,
                                      ids + found);
  }
  return found;
}

size_t FindAtLeast(const float* logits, size_t n, float lowest, int32_t* ids) {
  HWY_ALIGN float padded[kLogitBlock];
  size_t found = 0;
  for (size_t i = 0; i < n; i += kLogitBlock) {
    found += FindInBlock(WholeBlock(logits + i, n - i, padded), i, lowest,
                         ids + found);
  }
  return found;
}

}  // namespace

const LogitKernels* LogitTable() {
  static const LogitKernels table = {
      .name = hwy::TargetName(HWY_TARGET),
      .block_max = &BlockMax,
      .block_sum_exp = &BlockSumExp,
      .exp = &ExpOfEach,
      .find_at_least = &FindAtLeast,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace rwkvd
HWY_AFTER_NAMESPACE();

#endif  // include guard
