// SPDX-License-Identifier: Apache-2.0
// Measures this machine's memory read bandwidth and its multiply-adds per
// second, each with a loop that does nothing else.
//
// Run with: bazel run -c opt //tests/bench:limits -- [THREADS...]
// Default: once with one thread, and once with all usable processors.

#include <cstdio>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/cpu_quota.h"
#include "tests/bench/machine_limits.h"

namespace rwkvd::bench {
namespace {

void Print(int threads) {
  const Limits& limits = MeasureLimits(threads);
  std::printf("%s\n", ToString(limits).c_str());
  for (const Rate& rate : limits.rates) {
    std::printf("  %-9s %-34s %8.1f %s\n",
                std::string(NameOf(rate.resource)).c_str(), rate.how.c_str(),
                rate.per_second * 1e-9,
                rate.resource == Resource::kRead ? "GB/s" : "Gop/s");
  }
}

int Main(int argc, char** argv) {
  std::vector<int> counts;
  for (int i = 1; i < argc; ++i) {
    int threads = 0;
    if (!absl::SimpleAtoi(argv[i], &threads) || threads < 1) {
      std::fprintf(stderr, "limits: \"%s\" is not a number of threads\n",
                   argv[i]);
      return 1;
    }
    counts.push_back(threads);
  }
  if (counts.empty()) {
    counts = {1};
    if (UsableCpus() > 1) counts.push_back(UsableCpus());
  }
  for (int threads : counts) Print(threads);
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) { return rwkvd::bench::Main(argc, argv); }
