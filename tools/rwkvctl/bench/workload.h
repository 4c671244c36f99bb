// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_

#include <cstdint>
#include <random>

#include "rwkv/v1/rwkv.pb.h"
#include "tools/rwkvctl/bench/bench_options.h"

namespace rwkvd {

// The requests of a benchmark: prompts of random tokens, no two alike, so that
// no prefix is found in the server's cache. Request i is the same in every run
// with the same options, whoever sends it and when.
//
// Thread-safe (immutable).
class Workload {
 public:
  // `options` are valid; token ids are drawn from what `model` can read.
  Workload(const BenchOptions& options,
           const ::rwkv::v1::GetModelResponse& model);

  // Request number `index`, from 0.
  ::rwkv::v1::GenerateRequest Request(uint64_t index) const;

 private:
  const BenchOptions options_;
  const int64_t first_id_;
  const int64_t num_ids_;
};

// When requests of an open loop arrive: independently of one another, `rate`
// of them a second in the mean (a Poisson process).
//
// Thread-compatible.
class Arrivals {
 public:
  Arrivals(double rate, uint64_t seed);

  // Seconds from the beginning to the next arrival. Never before the last.
  double Next();

 private:
  const double rate_;
  std::mt19937_64 random_;
  double time_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_
