// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/scheduler.h"

#include <algorithm>
#include <bit>

#include "absl/container/flat_hash_set.h"
#include "core/base/check.h"

namespace rwkvd {
namespace {

// The claim of a flow to some of the rows that are divided by weight.
struct Claim {
  int64_t weight = 1;
  int64_t used = 0;  // rows that it has already and that count
  int64_t min = 0;   // rows to get
  int64_t max = 0;

  // What it gets if all rows are divided at `level` rows for each unit of
  // weight.
  int64_t At(int64_t level) const {
    return std::clamp(level * weight - used, min, max);
  }
};

// Divides `budget`, which is at least all minima, by weight. Returns the rows
// of each claim.
std::vector<int64_t> DivideByWeight(int64_t budget, std::vector<Claim> claims) {
  uint64_t max_level = 1;
  for (Claim& claim : claims) {
    claim.max = std::max(claim.min, std::min(claim.max, budget));
    max_level = std::max<uint64_t>(max_level, claim.max + claim.used);
  }
  const auto sum_at = [&claims](int64_t level) {
    int64_t sum = 0;
    for (const Claim& claim : claims) sum += claim.At(level);
    return sum;
  };
  // The highest level that fits. Level 0 does.
  int64_t level = 0;
  for (auto step = static_cast<int64_t>(std::bit_ceil(max_level)); step > 0;
       step /= 2) {
    if (sum_at(level + step) <= budget) level += step;
  }
  int64_t rest = budget - sum_at(level);
  std::vector<int64_t> rows;
  for (const Claim& claim : claims) {
    const int64_t more = std::min(rest, claim.At(level + 1) - claim.At(level));
    rows.push_back(claim.At(level) + more);
    rest -= more;
  }
  return rows;
}

}  // namespace

Scheduler::Scheduler(int64_t max_tokens, int64_t max_logits_rows)
    : max_tokens_(max_tokens), max_logits_rows_(max_logits_rows) {
  RWKVD_CHECK(max_tokens >= 1 && max_logits_rows >= 1);
}

absl::Span<const int64_t> Scheduler::Allocate(
    absl::Span<const StepDemand> demands, int64_t max_prefill) {
  const int64_t num_demands = demands.size();
  RWKVD_CHECK(num_demands < max_tokens_ && num_demands <= max_logits_rows_);
  allocations_.assign(demands.size(), 0);
  prompt_policy_.BeginStep(demands);
  even_sharing_.BeginStep(demands);
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].decoding) allocations_[i] = demands[i].tokens;
  }
  const int64_t budget = PrefillBudget(demands, max_prefill);
  if (budget > 0) DividePrefill(PartsOf(demands), budget, demands);
  even_sharing_.EndStep(demands, allocations_);
  return allocations_;
}

bool Scheduler::DecodesInEvenSharing(
    absl::Span<const StepDemand> demands) const {
  return std::any_of(demands.begin(), demands.end(),
                     [this](const StepDemand& demand) {
                       return demand.decoding && demand.tokens > 0 &&
                              even_sharing_.Left(demand.prompt) == 0;
                     });
}

int64_t Scheduler::PrefillBudget(absl::Span<const StepDemand> demands,
                                 int64_t max_prefill) const {
  if (max_prefill == 0) return 0;
  int64_t free = max_tokens_;
  bool prefills = false;
  absl::flat_hash_set<uint64_t> prompts;  // that even sharing would prefill
  for (const StepDemand& demand : demands) {
    if (demand.decoding) free -= demand.tokens;
    prefills |= demand.prefills();
    if (demand.prefills() || even_sharing_.Left(demand.prompt) > 0) {
      prompts.insert(demand.prompt);
    }
  }
  if (!prefills) return 0;
  return std::min(free, std::max<int64_t>(max_prefill, prompts.size()));
}

std::vector<Scheduler::FlowPart> Scheduler::PartsOf(
    absl::Span<const StepDemand> demands) const {
  std::vector<FlowPart> parts;
  for (size_t i = 0; i < demands.size(); ++i) {
    const StepDemand& demand = demands[i];
    auto part = std::find_if(
        parts.begin(), parts.end(),
        [&](const FlowPart& part) { return part.flow == demand.flow; });
    if (part == parts.end()) {
      parts.push_back({.flow = demand.flow, .weight = demand.weight});
      part = parts.end() - 1;
    }
    part->decoding += demand.decoding ? demand.tokens : 0;
    if (!demand.prefills()) continue;
    part->prompts.push_back(static_cast<int64_t>(i));
    part->tokens += demand.tokens;
    part->more_logits += demand.tokens - demand.tokens_with_one_row();
  }
  return parts;
}

void Scheduler::DividePrefill(absl::Span<const FlowPart> parts, int64_t budget,
                              absl::Span<const StepDemand> demands) {
  // Every sequence has a row of logits. Those that need more than one share the
  // rest, which limits the tokens that they can use.
  std::vector<Claim> claims;
  for (const FlowPart& part : parts) {
    claims.push_back({.weight = part.weight, .max = part.more_logits});
  }
  const std::vector<int64_t> logits = DivideByWeight(
      max_logits_rows_ - static_cast<int64_t>(demands.size()), claims);
  for (size_t i = 0; i < parts.size(); ++i) {
    claims[i] = {.weight = parts[i].weight,
                 .used = parts[i].decoding,
                 .min = parts[i].prompts.empty() ? 0 : 1,
                 .max = parts[i].tokens - (parts[i].more_logits - logits[i])};
  }
  const std::vector<int64_t> tokens = DivideByWeight(budget, claims);
  for (size_t i = 0; i < parts.size(); ++i) {
    prompt_policy_.Divide({.tokens = tokens[i], .more_logits = logits[i]},
                          parts[i].prompts, demands,
                          absl::MakeSpan(allocations_));
  }
}

}  // namespace rwkvd
