// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/scheduler.h"

#include <algorithm>

#include "core/base/check.h"

namespace rwkvd {

Scheduler::Scheduler(int64_t max_tokens, int64_t max_logits_rows)
    : max_tokens_(max_tokens), max_logits_rows_(max_logits_rows) {
  RWKVD_CHECK(max_tokens >= 1 && max_logits_rows >= 1);
}

absl::Span<const int64_t> Scheduler::Allocate(
    absl::Span<const StepDemand> demands, int64_t max_prefill) {
  const int64_t num_demands = demands.size();
  RWKVD_CHECK(num_demands < max_tokens_ && num_demands <= max_logits_rows_);
  allocations_.assign(demands.size(), 0);
  limits_.clear();
  for (const StepDemand& demand : demands) limits_.push_back(demand.tokens);

  // Every sequence gets a row of logits. The rest is divided among sequences
  // that need more than one, which limits the tokens that these can use.
  sharers_.clear();
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].logits_rows <= 1) continue;
    sharers_.push_back(i);
    limits_[i] = demands[i].logits_rows;
  }
  Divide(max_logits_rows_ - (num_demands - sharers_.size()));
  for (const int64_t i : sharers_) {
    limits_[i] = demands[i].tokens - (demands[i].logits_rows - allocations_[i]);
  }

  sharers_.clear();
  int64_t budget = max_tokens_;
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].decoding) {
      allocations_[i] = limits_[i];
      budget -= allocations_[i];
    } else if (limits_[i] > 0) {
      sharers_.push_back(i);
    }
  }
  const int64_t num_prefilling = sharers_.size();
  Divide(max_prefill == 0
             ? 0
             : std::min(budget, std::max(max_prefill, num_prefilling)));
  return allocations_;
}

void Scheduler::Divide(int64_t budget) {
  // Smallest limits first: what they leave of an even share goes to the others.
  std::stable_sort(
      sharers_.begin(), sharers_.end(),
      [this](int64_t a, int64_t b) { return limits_[a] < limits_[b]; });
  for (size_t served = 0; served < sharers_.size(); ++served) {
    const int64_t i = sharers_[served];
    const int64_t even =
        budget / static_cast<int64_t>(sharers_.size() - served);
    allocations_[i] = std::min(limits_[i], even);
    budget -= allocations_[i];
  }
}

}  // namespace rwkvd
