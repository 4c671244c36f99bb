// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_LIMITS_H_
#define RWKVD_TESTS_BENCH_LIMITS_H_

#include <cstdint>
#include <string>

namespace rwkvd::bench {

// What this machine can do at best, measured by loops that do nothing else.
struct Limits {
  int threads = 0;
  double read_bytes_per_second = 0;  // from memory, beyond the caches
  double flops_per_second = 0;       // f32 multiply-adds, counted as two
};

// Measures with `threads` threads; takes about two seconds, the median of
// several rounds. Once per process and thread count: later calls remember.
const Limits& MeasureLimits(int threads);

// "2 threads: read 31.0 GB/s, f32 222 GFLOP/s"
std::string ToString(const Limits& limits);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_LIMITS_H_
