// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/measurements.h"

namespace rwkvd {

void Measurements::Add(const RequestOutcome& outcome) {
  start_delay_.Add(outcome.sent);
  if (outcome.messages > 0) {
    first_token_.Add(outcome.first_token);
    prompt_tokens_ += outcome.prompt_tokens;
  }
  if (outcome.tokens > 1) {
    per_token_.Add((outcome.last_token - outcome.first_token) /
                   static_cast<double>(outcome.tokens - 1));
  }
  cached_tokens_ += outcome.cached_tokens;
  tokens_ += outcome.tokens;
  messages_ += outcome.messages;
  if (outcome.cut_short) {
    ++cut_short_;
  } else if (outcome.status.ok()) {
    ++succeeded_;
    request_.Add(outcome.ended);
  } else {
    Failures& failures = failures_[outcome.status.error_code()];
    if (failures.count++ == 0) {
      failures.example = outcome.status.error_message();
    }
  }
}

void Measurements::Merge(const Measurements& other) {
  succeeded_ += other.succeeded_;
  cut_short_ += other.cut_short_;
  for (const auto& [code, theirs] : other.failures_) {
    Failures& failures = failures_[code];
    if (failures.count == 0) failures.example = theirs.example;
    failures.count += theirs.count;
  }
  prompt_tokens_ += other.prompt_tokens_;
  cached_tokens_ += other.cached_tokens_;
  tokens_ += other.tokens_;
  messages_ += other.messages_;
  start_delay_.Merge(other.start_delay_);
  first_token_.Merge(other.first_token_);
  between_messages_.Merge(other.between_messages_);
  per_token_.Merge(other.per_token_);
  request_.Merge(other.request_);
}

int64_t Measurements::failed() const {
  int64_t count = 0;
  for (const auto& [code, failures] : failures_) count += failures.count;
  return count;
}

}  // namespace rwkvd
