// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/bench_options.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace rwkvd {
namespace {

absl::Status OutOfRange(absl::string_view flag, double got, double low,
                        double high) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", got, " is not between ", low, " and ", high));
}

bool IsIn(double value, double low, double high) {
  return value >= low && value <= high;  // false for NaN
}

}  // namespace

bool AbslParseFlag(absl::string_view text, TokenRange* range,
                   std::string* error) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const bool is_one = text.find(':') == absl::string_view::npos;
  int64_t low = 0;
  int64_t high = 0;
  if (absl::SimpleAtoi(parts.first, &low) &&
      absl::SimpleAtoi(is_one ? parts.first : parts.second, &high) &&
      low >= 1 && low <= high && high <= TokenRange::kMost) {
    *range = {low, high};
    return true;
  }
  *error = absl::StrCat("expected a number of tokens such as 64, or a range ",
                        "such as 16:512, within 1 to ", TokenRange::kMost);
  return false;
}

std::string AbslUnparseFlag(const TokenRange& range) {
  return range.low == range.high ? absl::StrCat(range.low)
                                 : absl::StrCat(range.low, ":", range.high);
}

absl::Status Validate(const BenchOptions& options) {
  if (!IsIn(options.concurrency, 1, BenchOptions::kMaxConcurrency)) {
    return OutOfRange("concurrency", options.concurrency, 1,
                      BenchOptions::kMaxConcurrency);
  }
  if (!IsIn(options.connections, 1, BenchOptions::kMaxConnections)) {
    return OutOfRange("connections", options.connections, 1,
                      BenchOptions::kMaxConnections);
  }
  if (!IsIn(options.rate, 0, BenchOptions::kMaxRate)) {
    return OutOfRange("rate", options.rate, 0, BenchOptions::kMaxRate);
  }
  if (!IsIn(options.requests, 0, BenchOptions::kMaxRequests)) {
    return OutOfRange("requests", options.requests, 0,
                      BenchOptions::kMaxRequests);
  }
  if (options.duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--duration: must not be negative");
  }
  if (options.requests == 0 && options.duration == absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "set a limit: neither --requests nor --duration is given");
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
