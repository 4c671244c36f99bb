// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_RUN_BENCH_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_RUN_BENCH_H_

#include <grpcpp/channel.h>

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "tools/rwkvctl/bench/bench_options.h"
#include "tools/rwkvctl/bench/measurements.h"
#include "tools/rwkvctl/bench/stopper.h"
#include "tools/rwkvctl/bench/workload.h"

namespace rwkvd {

struct BenchResult {
  Measurements measurements;
  double seconds = 0;  // from the first request until the last one ended
};

// Runs a benchmark with valid `options` over `channels`, until it has reached
// its limit or `stopper` ends it. Requests that the end finds under way are cut
// short. A closed loop has `concurrency` clients that each send a request when
// their last one ended; an open loop sends each when it arrives, or, if
// `concurrency` of them are under way, as soon as one of these ends.
BenchResult RunBench(const BenchOptions& options, const Workload& workload,
                     absl::Span<const std::shared_ptr<grpc::Channel>> channels,
                     Stopper* stopper);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_RUN_BENCH_H_
