// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_TIMING_H_
#define RWKVD_TESTS_BENCH_TIMING_H_

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/functional/function_ref.h"

namespace rwkvd::bench {

// Wall time that `fn` takes, in seconds.
inline double Seconds(absl::FunctionRef<void()> fn) {
  const auto begin = std::chrono::steady_clock::now();
  fn();
  const std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - begin;
  return taken.count();
}

// Median of `values`, which must not be empty.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_TIMING_H_
