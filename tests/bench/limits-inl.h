// SPDX-License-Identifier: Apache-2.0
// The loops whose speed is a limit, compiled by limits.cc for every target.

#if defined(RWKVD_TESTS_BENCH_LIMITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_TESTS_BENCH_LIMITS_INL_H_
#undef RWKVD_TESTS_BENCH_LIMITS_INL_H_
#else
#define RWKVD_TESTS_BENCH_LIMITS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd::bench {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Reads `n` floats, a multiple of 1024, as four streams side by side, or as
// one where `streams` is 1; returns their sum. Which is faster differs between
// processors.
HWY_ATTR float ReadLoop(const float* p, size_t n, int streams) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const size_t apart = streams == 1 ? lanes : n / 4;
  const size_t step = streams == 1 ? 4 * lanes : lanes;
  auto a = hn::Zero(d), b = hn::Zero(d), e = hn::Zero(d), f = hn::Zero(d);
  for (size_t i = 0; i < n / (4 * lanes); ++i, p += step) {
    a = hn::Add(a, hn::Load(d, p));
    b = hn::Add(b, hn::Load(d, p + apart));
    e = hn::Add(e, hn::Load(d, p + 2 * apart));
    f = hn::Add(f, hn::Load(d, p + 3 * apart));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(e, f))));
}

// Does `rounds` * 12 vector multiply-adds; `*flops` counts two for each lane.
HWY_ATTR float FmaLoop(size_t rounds, double* flops) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 0.001f);
  // Twelve sums in flight hide the latency of any multiply-add unit known;
  // they begin apart, or the compiler would make one of them.
  const auto begin = [&](float value) HWY_ATTR { return hn::Set(d, value); };
  auto a0 = begin(0), a1 = begin(1), a2 = begin(2), a3 = begin(3);
  auto a4 = begin(4), a5 = begin(5), b0 = begin(6), b1 = begin(7);
  auto b2 = begin(8), b3 = begin(9), b4 = begin(10), b5 = begin(11);
  for (size_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    b0 = hn::MulAdd(b0, x, y);
    b1 = hn::MulAdd(b1, x, y);
    b2 = hn::MulAdd(b2, x, y);
    b3 = hn::MulAdd(b3, x, y);
    b4 = hn::MulAdd(b4, x, y);
    b5 = hn::MulAdd(b5, x, y);
  }
  *flops = 2.0 * 12 * rounds * hn::Lanes(d);
  const auto a =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto b =
      hn::Add(hn::Add(hn::Add(b0, b1), hn::Add(b2, b3)), hn::Add(b4, b5));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
}

}  // namespace HWY_NAMESPACE
}  // namespace rwkvd::bench
HWY_AFTER_NAMESPACE();

#endif  // include guard
