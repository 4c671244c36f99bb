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

// The measurements of a whole run. A value.
struct BenchResult {
  Measurements measurements;
  double seconds = 0;  // from the start until the last request ended
};

// Runs a benchmark over `channels` until it reaches its limit or `stopper`
// stops it, and cancels the requests that are still running then. `options`
// must be valid. In a closed loop, each of `concurrency` clients sends its next
// request when its last one ends. In an open loop, a request is sent when it
// arrives, or, while `concurrency` requests are running, when one of them ends.
BenchResult RunBench(const BenchOptions& options, const Workload& workload,
                     absl::Span<const std::shared_ptr<grpc::Channel>> channels,
                     Stopper* stopper);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_RUN_BENCH_H_
