// SPDX-License-Identifier: Apache-2.0
// The loops that measure the machine's limits. limit_loops.cc compiles them
// once per instruction set.

#if defined(RWKVD_TESTS_BENCH_LIMIT_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RWKVD_TESTS_BENCH_LIMIT_LOOPS_INL_H_
#undef RWKVD_TESTS_BENCH_LIMIT_LOOPS_INL_H_
#else
#define RWKVD_TESTS_BENCH_LIMIT_LOOPS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rwkvd::bench {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Returns the sum of the 32-bit words in `n` bytes, a multiple of 4. `ahead` is
// the prefetch distance in bytes, 0 for no software prefetch: which distance
// is fastest depends on the processor.
HWY_ATTR uint32_t ReadLoop(const uint8_t* p, size_t n, size_t ahead) {
  const hn::ScalableTag<uint32_t> d;
  const size_t size = hn::Lanes(d) * sizeof(uint32_t);
  const auto load = [&](size_t at) HWY_ATTR {
    return hn::LoadU(d, reinterpret_cast<const uint32_t*>(p + at));
  };
  auto a = hn::Zero(d), b = hn::Zero(d), e = hn::Zero(d), f = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * size <= n; i += 4 * size) {
    if (ahead > 0) {
      for (size_t line = 0; line < 4 * size; line += 64) {
        __builtin_prefetch(p + i + ahead + line);
      }
    }
    a = hn::Add(a, load(i));
    b = hn::Add(b, load(i + size));
    e = hn::Add(e, load(i + 2 * size));
    f = hn::Add(f, load(i + 3 * size));
  }
  uint32_t sum =
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(e, f))));
  for (; i + 4 <= n; i += 4) {
    uint32_t word;
    std::memcpy(&word, p + i, 4);
    sum += word;
  }
  return sum;
}

// Computes `rounds` * 12 vector multiply-adds. Sets `*flops` to their number of
// operations, two per lane.
HWY_ATTR float FmaLoop(size_t rounds, double* flops) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 0.001f);
  // Twelve independent sums hide the latency of every known multiply-add unit.
  // They start with different values, so that the compiler cannot merge them.
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
