// SPDX-License-Identifier: Apache-2.0
// Measures the cost of ThreadPool::ParallelFor, with as many threads as usable
// processors, but at least 2:
//   loop/N: N empty tasks, in loops that follow one another at once.
//   after/US: 16 empty tasks, after US microseconds of the caller's own work.
//   share/US: 64 tasks of US microseconds each; "of_ideal" is the ideal time
//   divided by the measured time.
//
// Run with: bazel run -c opt //tests/bench:pool_bench

#include <algorithm>
#include <chrono>

#include "benchmark/benchmark.h"
#include "core/base/cpu_quota.h"
#include "core/base/thread_pool.h"

namespace rwkvd::bench {
namespace {

ThreadPool& Pool() {
  static auto* const pool = new ThreadPool(std::max(2, UsableCpus()));
  return *pool;
}

void KeepBusy(int64_t microseconds) {
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::microseconds(microseconds);
  while (std::chrono::steady_clock::now() < end) {
  }
}

void Loop(benchmark::State& state) {
  for (auto _ : state) Pool().ParallelFor(state.range(0), [](int64_t) {});
}
BENCHMARK(Loop)->Name("loop")->Arg(2)->Arg(16)->Arg(256)->UseRealTime();

void After(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    KeepBusy(state.range(0));
    state.ResumeTiming();
    Pool().ParallelFor(16, [](int64_t) {});
  }
}
BENCHMARK(After)
    ->Name("after")
    ->Arg(1)
    ->Arg(10)
    ->Arg(50)
    ->Arg(500)
    ->Iterations(2000)
    ->UseRealTime();

void Share(benchmark::State& state) {
  constexpr int64_t kIndices = 64;
  for (auto _ : state) {
    Pool().ParallelFor(kIndices, [&](int64_t) { KeepBusy(state.range(0)); });
  }
  const double ideal =
      1e-6 * double(state.range(0) * kIndices) / Pool().num_threads();
  state.counters["of_ideal"] = benchmark::Counter(
      double(state.iterations()) * ideal, benchmark::Counter::kIsRate);
}
BENCHMARK(Share)->Name("share")->Arg(1)->Arg(5)->Arg(50)->UseRealTime();

}  // namespace
}  // namespace rwkvd::bench

BENCHMARK_MAIN();
