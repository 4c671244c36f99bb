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

// The time since `begin`, in seconds; negative before it.
double SecondsSince(SteadyTime begin);

// Sends `request`, which was due at `due`, reads the answer to its end, and
// adds what was seen to `measurements`. Returns whether that went well. A
// `timeout` other than 0 ends the call.
bool RunRequest(::rwkv::v1::RwkvService::StubInterface& stub,
                const ::rwkv::v1::GenerateRequest& request, SteadyTime due,
                absl::Duration timeout, Stopper* stopper,
                Measurements* measurements);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_RUN_REQUEST_H_
