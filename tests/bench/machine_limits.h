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

// What a rate measures: bytes read from memory, or arithmetic operations of one
// kind (a multiply-add counts as two).
enum class Resource { kRead, kF32, kBF16, kInt8, kAmxBF16, kAmxInt8 };

// "read", "f32", "bf16", "int8", "amx_bf16", "amx_int8"
absl::string_view NameOf(Resource resource);

// The measured speed of one loop that uses a single resource.
struct Rate {
  Resource resource;
  std::string how;        // the instruction or access pattern
  double per_second = 0;  // bytes or operations
};

// The highest rates that this machine reaches with `threads` threads.
struct Limits {
  int threads = 0;
  std::vector<Rate> rates;

  // Rate of the fastest loop; 0 if the processor lacks the instructions.
  double Best(Resource resource) const;
};

// Regions of memory; the size of each is a multiple of 4 bytes.
using Regions = absl::Span<const absl::Span<const std::byte>>;

// Reads all of `regions`, sequentially, with and without software prefetch;
// each thread of `pool` reads its own part of each region. Returns one rate per
// prefetch distance, the median of several rounds; its `how` starts with
// `what`.
std::vector<Rate> MeasureReads(ThreadPool& pool, Regions regions,
                               const std::string& what);

// Measures reads of 1 GiB in huge pages, in 4 KiB pages, and in a mapped file
// in the page cache (which is how weights are read).
std::vector<Rate> MeasureMemory(ThreadPool& pool);

// Measures every kind of multiply-add that this processor supports.
std::vector<Rate> MeasureArithmetic(ThreadPool& pool);

// Measures memory and arithmetic with `threads` threads, which takes a few
// seconds. Later calls with the same `threads` return the first result.
// Not thread-safe.
const Limits& MeasureLimits(int threads);

// The best rate of each resource: "2 threads: read 31.0 GB/s, f32 222 Gop/s".
std::string ToString(const Limits& limits);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_MACHINE_LIMITS_H_
