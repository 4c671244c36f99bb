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
  DivideByFlow(max_prefill == 0
                   ? 0
                   : std::min(budget, std::max(max_prefill, num_prefilling)),
               demands);
  return allocations_;
}

int64_t Scheduler::FlowPart::PartAt(int64_t level) const {
  return std::clamp(level * weight - decoding,
                    static_cast<int64_t>(sharers.size()), limit);
}

std::vector<Scheduler::FlowPart> Scheduler::PartsOf(
    absl::Span<const StepDemand> demands) const {
  std::vector<FlowPart> parts;
  const auto part_of = [&parts](const StepDemand& demand) {
    const auto found = std::find_if(
        parts.begin(), parts.end(),
        [&](const FlowPart& part) { return part.flow == demand.flow; });
    if (found != parts.end()) return found;
    parts.push_back({.flow = demand.flow, .weight = demand.weight});
    return parts.end() - 1;
  };
  for (const int64_t i : sharers_) {
    const auto part = part_of(demands[i]);
    part->sharers.push_back(i);
    part->limit += limits_[i];
  }
  for (size_t i = 0; i < demands.size() && parts.size() > 1; ++i) {
    if (!demands[i].decoding) continue;
    for (FlowPart& part : parts) {
      if (part.flow == demands[i].flow) part.decoding += allocations_[i];
    }
  }
  return parts;
}

void Scheduler::DivideByFlow(int64_t budget,
                             absl::Span<const StepDemand> demands) {
  const bool is_one_flow = std::all_of(
      sharers_.begin(), sharers_.end(),
      [&](int64_t i) { return demands[i].flow == demands[sharers_[0]].flow; });
  if (is_one_flow || budget == 0) return Divide(budget);
  std::vector<FlowPart> parts = PartsOf(demands);
  const auto sum_at = [&parts](int64_t level) {
    int64_t sum = 0;
    for (const FlowPart& part : parts) sum += part.PartAt(level);
    return sum;
  };
  // The highest level at which the parts fit. They do at level 0, where each
  // sequence has one row.
  int64_t level = 0;
  for (int64_t step = int64_t{1} << 40; step > 0; step /= 2) {
    if (level + step <= max_tokens_ && sum_at(level + step) <= budget) {
      level += step;
    }
  }
  int64_t rest = budget - sum_at(level);
  for (FlowPart& part : parts) {
    part.part = part.PartAt(level);
    const int64_t more = std::min(rest, part.PartAt(level + 1) - part.part);
    part.part += more;
    rest -= more;
  }
  for (const FlowPart& part : parts) {
    sharers_ = part.sharers;
    Divide(part.part);
  }
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
