// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_

#include <cstdint>
#include <random>

#include "rwkv/v1/rwkv.pb.h"
#include "tools/rwkvctl/bench/bench_options.h"

namespace rwkvd {

// The requests of a benchmark. Their prompts are random tokens, all different,
// so that the server's cache finds no common prefix. Request i depends only on
// the options and i.
//
// Thread-safe (immutable).
class Workload {
 public:
  // `options` must be valid. Token ids are limited to the vocabulary of
  // `model`.
  Workload(const BenchOptions& options,
           const ::rwkv::v1::GetModelResponse& model);

  // Request number `index`, from 0.
  ::rwkv::v1::GenerateRequest Request(uint64_t index) const;

 private:
  const BenchOptions options_;
  const int64_t first_id_;
  const int64_t num_ids_;
};

// Arrival times of the requests of an open loop: a Poisson process with a mean
// of `rate` requests per second.
//
// Thread-compatible.
class Arrivals {
 public:
  Arrivals(double rate, uint64_t seed);

  // Seconds from the start to the next arrival. Never decreases.
  double Next();

 private:
  const double rate_;
  std::mt19937_64 random_;
  double time_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_WORKLOAD_H_
