// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_MACHINE_LIMITS_H_
#define RWKVD_TESTS_BENCH_MACHINE_LIMITS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"

namespace rwkvd::bench {

// What a limit limits. The last five count operations: a multiplication and an
// addition are two.
enum class Resource { kRead, kF32, kBF16, kInt8, kAmxBF16, kAmxInt8 };

// "read", "f32", "bf16", "int8", "amx_bf16", "amx_int8"
absl::string_view NameOf(Resource resource);

// The speed of one loop that does nothing else.
struct Rate {
  Resource resource;
  std::string how;
  double per_second = 0;  // bytes or operations
};

// What this machine can do at best with a number of threads.
struct Limits {
  int threads = 0;
  std::vector<Rate> rates;

  // Of the fastest loop; 0 where the processor has no such instruction.
  double Best(Resource resource) const;
};

// Memory by areas, each of a multiple of 4 bytes.
using Regions = absl::Span<const absl::Span<const std::byte>>;

// Reads all of `regions`: each thread of `pool` its own part of each, from
// beginning to end, with and without software prefetch. A rate for each way,
// the median of several rounds; `how` begins with `what`.
std::vector<Rate> MeasureReads(ThreadPool& pool, Regions regions,
                               const std::string& what);

// Reads 1 GiB of memory in huge pages, in pages of 4 KiB, and of a file that
// the system holds in its memory, mapped: as weights are read.
std::vector<Rate> MeasureMemory(ThreadPool& pool);

// Multiplies and adds: every way that this processor has.
std::vector<Rate> MeasureArithmetic(ThreadPool& pool);

// Both, with `threads` threads: some seconds. Once per process and thread
// count: later calls remember.
const Limits& MeasureLimits(int threads);

// The best of each resource: "2 threads: read 31.0 GB/s, f32 222 GFLOP/s, ..."
std::string ToString(const Limits& limits);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_MACHINE_LIMITS_H_
