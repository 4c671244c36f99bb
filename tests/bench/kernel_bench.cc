// SPDX-License-Identifier: Apache-2.0
// Measures matmuls of one thread: a matrix of 1024 columns and 1 to 64 rows of
// x.
//   large: 256 MiB of weights, read from memory. "of_read" is the read rate,
//     divided by that of a plain loop on one thread.
//   small: 256 KiB of weights, which stay in the cache. "of_flops" is the rate
//     of operations, divided by that of a plain loop on one thread.
//
// Run with: bazel run -c opt //tests/bench:kernel_bench

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "core/base/dtype.h"
#include "core/kernels/targets/supported_kernels.h"
#include "tests/bench/machine_limits.h"

namespace rwkvd::bench {
namespace {

constexpr int64_t kCols = 1024;

void MatMul(benchmark::State& state, const KernelTable* kernels, DType dtype,
            int64_t weight_bytes) {
  const int64_t num_x = state.range(0);
  const int64_t rows = weight_bytes / kCols / int64_t(SizeOf(dtype));
  // 0x3c.. is about 1 in all three types.
  const std::vector<char> weights(weight_bytes, 0x3c);
  const std::vector<float> x(num_x * kCols, 0.5f);
  std::vector<float> y(num_x * rows);
  for (auto _ : state) {
    // One task after another, as a model does it.
    const int64_t task_rows =
        std::max<int64_t>(4, (1 << 18) / kCols / int64_t(SizeOf(dtype)));
    for (int64_t begin = 0; begin < rows; begin += task_rows) {
      kernels->matmul({.dtype = dtype,
                       .w = weights.data(),
                       .w_stride = kCols,
                       .cols = kCols,
                       .num_x = num_x,
                       .x = x.data(),
                       .x_stride = kCols,
                       .y = y.data(),
                       .y_stride = rows},
                      begin, std::min(rows, begin + task_rows));
    }
    benchmark::ClobberMemory();
  }
  const Limits& limits = MeasureLimits(1);
  using benchmark::Counter;
  const double times = static_cast<double>(state.iterations());
  state.counters["bytes"] =
      Counter(times * weight_bytes, Counter::kIsRate, Counter::kIs1000);
  state.counters["flops"] = Counter(2.0 * times * rows * kCols * num_x,
                                    Counter::kIsRate, Counter::kIs1000);
  state.counters["of_read"] = Counter(
      times * weight_bytes / limits.Best(Resource::kRead), Counter::kIsRate);
  state.counters["of_flops"] =
      Counter(2.0 * times * rows * kCols * num_x / limits.Best(Resource::kF32),
              Counter::kIsRate);
}

void RegisterAll() {
  for (const KernelTable* kernels : SupportedKernels()) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const auto& [size, bytes] :
           {std::pair("large", int64_t{256} << 20),
            std::pair("small", int64_t{256} << 10)}) {
        auto* bench = benchmark::RegisterBenchmark(
            absl::StrCat("matmul/", kernels->name, "/",
                         std::string(NameOf(dtype)), "/", size)
                .c_str(),
            MatMul, kernels, dtype, bytes);
        for (int num_x : {1, 2, 4, 6, 16, 64}) bench->Arg(num_x);
        bench->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("limits: %s\n",
              rwkvd::bench::ToString(rwkvd::bench::MeasureLimits(1)).c_str());
  rwkvd::bench::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
