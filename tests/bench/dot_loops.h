// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_DOT_LOOPS_H_
#define RWKVD_TESTS_BENCH_DOT_LOOPS_H_

#include <cstdint>
#include <vector>

namespace rwkvd::bench {

enum class Arithmetic { kBF16, kInt8, kAmxBF16, kAmxInt8 };

// A loop over one dot-product instruction on registers, with enough independent
// sums that no instruction waits for the result of another.
struct DotLoop {
  Arithmetic arithmetic;
  const char* instruction;
  // Updates all sums `rounds` times. Returns the number of operations, where a
  // multiply-add counts as two.
  double (*run)(int64_t rounds);
};

// The loops that this processor and operating system support. Thread-safe.
const std::vector<DotLoop>& SupportedDotLoops();

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_DOT_LOOPS_H_
