// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_RUN_REQUEST_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_RUN_REQUEST_H_

#include <chrono>

#include "absl/time/time.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tools/rwkvctl/bench/measurements.h"
#include "tools/rwkvctl/bench/stopper.h"

namespace rwkvd {

using SteadyTime = std::chrono::steady_clock::time_point;

// Seconds since `begin`; negative if `begin` is in the future.
double SecondsSince(SteadyTime begin);

// Sends `request`, which was due at `due`, reads its whole answer, and adds the
// outcome to `measurements`. Returns whether the request succeeded. `timeout`
// is the deadline of the call; 0 for none.
bool RunRequest(::rwkv::v1::RwkvService::StubInterface& stub,
                const ::rwkv::v1::GenerateRequest& request, SteadyTime due,
                absl::Duration timeout, Stopper* stopper,
                Measurements* measurements);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_RUN_REQUEST_H_
