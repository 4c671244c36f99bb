// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_DOT_LOOPS_H_
#define RWKVD_TESTS_BENCH_DOT_LOOPS_H_

#include <cstdint>
#include <vector>

namespace rwkvd::bench {

enum class Arithmetic { kBF16, kInt8, kAmxBF16, kAmxInt8 };

// A loop that does nothing but one kind of dot product on registers, with so
// many sums side by side that no instruction waits for another.
struct DotLoop {
  Arithmetic arithmetic;
  const char* instruction;
  // Runs `rounds` times over all sums; returns the operations done: each
  // multiplication and each addition is one.
  double (*run)(int64_t rounds);
};

// Those that this processor and system can run. Thread-safe.
const std::vector<DotLoop>& SupportedDotLoops();

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_DOT_LOOPS_H_
