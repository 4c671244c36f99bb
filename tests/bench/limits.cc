// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/limits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/limits-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "tests/bench/limits-inl.h"
// clang-format on

#if HWY_ONCE

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/thread_pool.h"

namespace rwkvd::bench {
namespace {

HWY_EXPORT(ReadLoop);
HWY_EXPORT(FmaLoop);

constexpr size_t kFloats = size_t{1} << 28;  // 1 GiB
constexpr size_t kBlock = size_t{1} << 16;   // 256 KiB a turn
constexpr size_t kFmaRounds = size_t{1} << 22;
constexpr int kRounds = 7;

double Seconds(absl::FunctionRef<void()> fn) {
  const absl::Time begin = absl::Now();
  fn();
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2,
                   values.end());
  return values[values.size() / 2];
}

// Keeps a result that nobody needs from being optimised away.
void Use(float value) {
  static std::atomic<float> sink;
  sink.store(value, std::memory_order_relaxed);
}

// Allocated memory, in huge pages if the system has some to give.
class Memory {
 public:
  Memory() {
    void* memory =
        mmap(nullptr, kFloats * sizeof(float), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RWKVD_CHECK(memory != MAP_FAILED);
    madvise(memory, kFloats * sizeof(float), MADV_HUGEPAGE);
    floats_ = static_cast<float*>(memory);
    std::fill_n(floats_, kFloats, 1.0f);
  }
  ~Memory() { munmap(floats_, kFloats * sizeof(float)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  const float* floats() const { return floats_; }

 private:
  float* floats_;
};

double MeasureRead(ThreadPool& pool) {
  const Memory memory;
  double best = 0;
  for (int streams : {1, 4}) {
    const auto read_all = [&] {
      pool.ParallelFor(kFloats / kBlock, [&](int64_t i) {
        Use(HWY_DYNAMIC_DISPATCH(ReadLoop)(memory.floats() + i * kBlock, kBlock,
                                           streams));
      });
    };
    std::vector<double> rates;
    for (int i = 0; i < kRounds; ++i) {
      rates.push_back(kFloats * sizeof(float) / Seconds(read_all));
    }
    best = std::max(best, Median(rates));
  }
  return best;
}

double MeasureFlops(ThreadPool& pool) {
  std::vector<double> flops(pool.num_threads());
  const auto run = [&] {
    pool.ParallelFor(flops.size(), [&](int64_t i) {
      Use(HWY_DYNAMIC_DISPATCH(FmaLoop)(kFmaRounds, &flops[i]));
    });
  };
  std::vector<double> rates;
  for (int i = 0; i < kRounds; ++i) {
    const double seconds = Seconds(run);
    double total = 0;
    for (double own : flops) total += own;
    rates.push_back(total / seconds);
  }
  return Median(rates);
}

}  // namespace

const Limits& MeasureLimits(int threads) {
  static auto* const measured = new std::map<int, Limits>;
  auto [it, is_new] = measured->try_emplace(threads);
  if (is_new) {
    ThreadPool pool(threads);
    it->second = {.threads = threads,
                  .read_bytes_per_second = MeasureRead(pool),
                  .flops_per_second = MeasureFlops(pool)};
  }
  return it->second;
}

std::string ToString(const Limits& limits) {
  return absl::StrFormat("%d threads: read %.1f GB/s, f32 %.0f GFLOP/s",
                         limits.threads, limits.read_bytes_per_second * 1e-9,
                         limits.flops_per_second * 1e-9);
}

}  // namespace rwkvd::bench

#endif  // HWY_ONCE
