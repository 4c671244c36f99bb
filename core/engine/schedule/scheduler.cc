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
    absl::Span<const StepDemand> demands, int64_t max_read) {
  const int64_t num_demands = demands.size();
  RWKVD_CHECK(num_demands < max_tokens_ && num_demands <= max_logits_rows_);
  allocations_.assign(demands.size(), 0);
  wanted_.clear();
  for (const StepDemand& demand : demands) wanted_.push_back(demand.tokens);

  // A row of logits is kept for everybody; those that need more than one share
  // the rest, which bounds the tokens they can use.
  readers_.clear();
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].logits_rows <= 1) continue;
    readers_.push_back(i);
    wanted_[i] = demands[i].logits_rows;
  }
  Fill(max_logits_rows_ - (num_demands - readers_.size()));
  for (const int64_t i : readers_) {
    wanted_[i] = demands[i].tokens - (demands[i].logits_rows - allocations_[i]);
  }

  readers_.clear();
  int64_t budget = max_tokens_;
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].decoding) {
      allocations_[i] = wanted_[i];
      budget -= allocations_[i];
    } else if (wanted_[i] > 0) {
      readers_.push_back(i);
    }
  }
  const int64_t num_readers = readers_.size();
  Fill(max_read == 0 ? 0 : std::min(budget, std::max(max_read, num_readers)));
  return allocations_;
}

void Scheduler::Fill(int64_t budget) {
  // Those who want least first: what they leave of an even share is shared
  // among the rest.
  std::stable_sort(
      readers_.begin(), readers_.end(),
      [this](int64_t a, int64_t b) { return wanted_[a] < wanted_[b]; });
  for (size_t served = 0; served < readers_.size(); ++served) {
    const int64_t i = readers_[served];
    const int64_t even =
        budget / static_cast<int64_t>(readers_.size() - served);
    allocations_[i] = std::min(wanted_[i], even);
    budget -= allocations_[i];
  }
}

}  // namespace rwkvd
