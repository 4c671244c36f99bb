// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_TIMING_H_
#define RWKVD_TESTS_BENCH_TIMING_H_

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/functional/function_ref.h"

namespace rwkvd::bench {

// How long `fn` runs.
inline double Seconds(absl::FunctionRef<void()> fn) {
  const auto begin = std::chrono::steady_clock::now();
  fn();
  const std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - begin;
  return taken.count();
}

// Of at least one value.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_TIMING_H_
