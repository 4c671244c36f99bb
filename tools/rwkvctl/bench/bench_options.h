// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_OPTIONS_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// A range of token counts, from `low` to `high`, both inclusive. As text: "64"
// or "16:512".
struct TokenRange {
  static constexpr int64_t kMost = int64_t{1} << 20;

  int64_t low = 64;
  int64_t high = 64;

  bool operator==(const TokenRange& other) const {
    return low == other.low && high == other.high;
  }
};

// Conversions that make TokenRange a type of Abseil flags.
bool AbslParseFlag(absl::string_view text, TokenRange* range,
                   std::string* error);
std::string AbslUnparseFlag(const TokenRange& range);

// The options of a benchmark. A value; each field has a flag of the same name.
struct BenchOptions {
  static constexpr int32_t kMaxConcurrency = 1024;
  static constexpr int32_t kMaxConnections = 256;
  static constexpr int64_t kMaxRequests = 1'000'000'000;
  static constexpr double kMaxRate = 1e5;

  int32_t concurrency = 8;
  int32_t connections = 1;
  double rate = 0;                                 // 0: closed loop
  int64_t requests = 0;                            // 0: no limit
  absl::Duration duration = absl::ZeroDuration();  // 0: no limit
  absl::Duration timeout = absl::ZeroDuration();   // per request; 0: none
  TokenRange prompt_tokens;
  TokenRange output_tokens;
  uint64_t workload_seed = 1;
  ::rwkv::v1::Sampling sampling;  // a seed in here is used for all requests

  bool is_open() const { return rate > 0; }
};

// InvalidArgument if an option is out of range (the message names the flag and
// the range), or if neither `requests` nor `duration` limits the run.
absl::Status Validate(const BenchOptions& options);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_BENCH_OPTIONS_H_
