// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_MEASUREMENTS_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_MEASUREMENTS_H_

#include <grpcpp/support/status.h>

#include <cstdint>
#include <map>
#include <string>

#include "tools/rwkvctl/bench/percentiles.h"

namespace rwkvd {

// The outcome of one request. Times are in seconds since the request was due.
struct RequestOutcome {
  grpc::Status status;
  bool cut_short = false;  // cancelled by the end of the benchmark
  double sent = 0;         // when the request was sent
  double first_token = 0;  // when the first token arrived; 0: none did
  double last_token = 0;   // when the last token arrived
  double ended = 0;        // when the status arrived
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // 0 unless the answer is complete
  int64_t tokens = 0;         // generated tokens
  int64_t messages = 0;       // messages with tokens
};

// Statistics of all requests of a client. Thread-compatible.
class Measurements {
 public:
  struct Failures {
    int64_t count = 0;
    std::string example;  // the first error message
  };

  void Add(const RequestOutcome& outcome);
  // Adds the time between two messages with tokens.
  void AddGap(double seconds) { between_messages_.Add(seconds); }
  void Merge(const Measurements& other);

  int64_t requests() const { return succeeded_ + failed() + cut_short_; }
  int64_t succeeded() const { return succeeded_; }
  int64_t failed() const;
  int64_t cut_short() const { return cut_short_; }
  const std::map<grpc::StatusCode, Failures>& failures() const {
    return failures_;
  }

  // Totals of all requests, including those cut short. A prompt counts once the
  // first token of its answer has arrived.
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  int64_t tokens() const { return tokens_; }
  int64_t messages() const { return messages_; }

  // Distributions of times, in seconds.
  // From when a request was due until it was sent.
  const Percentiles& start_delay() const { return start_delay_; }
  // From when a request was due until its first token arrived.
  const Percentiles& first_token() const { return first_token_; }
  // From one message with tokens to the next.
  const Percentiles& between_messages() const { return between_messages_; }
  // From the first to the last token of an answer, divided by their number - 1.
  const Percentiles& per_token() const { return per_token_; }
  // From when a request was due until its end, for successful requests.
  const Percentiles& request() const { return request_; }

 private:
  int64_t succeeded_ = 0;
  int64_t cut_short_ = 0;
  std::map<grpc::StatusCode, Failures> failures_;
  int64_t prompt_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  int64_t tokens_ = 0;
  int64_t messages_ = 0;
  Percentiles start_delay_;
  Percentiles first_token_;
  Percentiles between_messages_;
  Percentiles per_token_;
  Percentiles request_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_BENCH_MEASUREMENTS_H_
