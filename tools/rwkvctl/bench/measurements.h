// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_BENCH_MEASUREMENTS_H_
#define RWKVD_TOOLS_RWKVCTL_BENCH_MEASUREMENTS_H_

#include <grpcpp/support/status.h>

#include <cstdint>
#include <map>
#include <string>

#include "tools/rwkvctl/bench/percentiles.h"

namespace rwkvd {

// What became of one request; seconds from when it was due.
struct RequestOutcome {
  grpc::Status status;
  bool cut_short = false;  // by the end of the benchmark
  double begun = 0;        // when it was sent
  double first_token = 0;  // when the first token came; 0: none came
  double last_token = 0;   // when the last one came
  double ended = 0;        // when its status came
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // known only at the end of a whole answer
  int64_t tokens = 0;         // generated
  int64_t messages = 0;       // that brought tokens
};

// What a client saw of all its requests. Thread-compatible.
class Measurements {
 public:
  struct Failures {
    int64_t count = 0;
    std::string example;  // the message of the first
  };

  void Add(const RequestOutcome& outcome);
  // A message with tokens came so long after the one before it.
  void AddGap(double seconds) { between_messages_.Add(seconds); }
  void Merge(const Measurements& other);

  int64_t requests() const { return succeeded_ + failed() + cut_short_; }
  int64_t succeeded() const { return succeeded_; }
  int64_t failed() const;
  int64_t cut_short() const { return cut_short_; }
  const std::map<grpc::StatusCode, Failures>& failures() const {
    return failures_;
  }

  // Of all requests, also of those cut short. Prompts count from their first
  // token on.
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  int64_t tokens() const { return tokens_; }
  int64_t messages() const { return messages_; }

  // In seconds: from when a request was due until it was sent; until its first
  // token; from a message with tokens to the next; from the first to the last
  // token, per token; until its status (of the successful).
  const Percentiles& start_delay() const { return start_delay_; }
  const Percentiles& first_token() const { return first_token_; }
  const Percentiles& between_messages() const { return between_messages_; }
  const Percentiles& per_token() const { return per_token_; }
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
