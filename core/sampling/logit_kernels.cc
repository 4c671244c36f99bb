// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/logit_kernels.h"

// See core/kernels/targets/base.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/sampling/logit_kernels-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "core/sampling/logit_kernels-inl.h"
// clang-format on

#if HWY_ONCE

#include <cstring>
#include <iterator>

namespace rwkvd {
namespace {

HWY_EXPORT(LogitTable);

std::vector<const LogitKernels*> MakeSupportedKernels() {
  std::vector<const LogitKernels*> tables;
  // Highway numbers better targets lower, one bit each.
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0;
       left &= left - 1) {
    hwy::GetChosenTarget().Update(left & -left);
    tables.push_back(HWY_DYNAMIC_DISPATCH(LogitTable)());
  }
  hwy::GetChosenTarget().DeInit();
  return tables;
}

}  // namespace

const std::vector<const LogitKernels*>& SupportedLogitKernels() {
  static const auto* const tables =
      new std::vector<const LogitKernels*>(MakeSupportedKernels());
  return *tables;
}

const LogitKernels& BestLogitKernels() {
  static const LogitKernels& best = *SupportedLogitKernels().front();
  return best;
}

double Exp(double x, double scale) {
  const double t = x * (scale * kLog2OfE);
  if (!(t > kLowestExponent)) return 0;
  const double rounded = t + kRounder;
  const double f = t - (rounded - kRounder);
  double p = kPowerOfTwo[0];
  for (size_t i = 1; i < std::size(kPowerOfTwo); ++i) {
    p = p * f + kPowerOfTwo[i];
  }
  int64_t exponent, bits;
  std::memcpy(&exponent, &rounded, sizeof(exponent));
  std::memcpy(&bits, &p, sizeof(bits));
  bits += static_cast<int64_t>(static_cast<uint64_t>(exponent) << 52);
  std::memcpy(&p, &bits, sizeof(p));
  return p;
}

}  // namespace rwkvd

#endif  // HWY_ONCE
