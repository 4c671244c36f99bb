// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_REPORT_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_REPORT_H_

#include <string>

#include "rwkv/v1/rwkv.pb.h"
#include "tools/rwkvctl/bench/bench_options.h"
#include "tools/rwkvctl/bench/run_bench.h"

namespace rwkvd {

// The report of a benchmark as text: a few lines and a table.
std::string TextReport(const BenchOptions& options,
                       const ::rwkv::v1::GetModelResponse& model,
                       const BenchResult& result);

// The report as one line of JSON, with times in seconds.
std::string JsonReport(const BenchOptions& options,
                       const ::rwkv::v1::GetModelResponse& model,
                       const BenchResult& result);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_REPORT_H_
