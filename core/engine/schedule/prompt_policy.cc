// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prompt_policy.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace rwkvd {

struct PromptPolicy::Prompt {
  int64_t index = 0;  // of its demand
  const StepDemand* demand = nullptr;
  Account* account = nullptr;

  bool HasNearDeadline() const {
    const int64_t left = demand->tokens_left();
    return demand->until_deadline >= left &&
           demand->until_deadline / kNear < left;
  }

  // The order of rule 1, for steps of `num_rows`.
  auto Key(int64_t num_rows) const {
    const bool is_near = HasNearDeadline();
    const int64_t left = demand->tokens_left();
    return std::tuple(!is_near,
                      is_near ? demand->until_deadline : (left - 1) / num_rows,
                      left + account->got, demand->prompt);
  }

  bool IsLaterThan(const Prompt& other) const {
    return account->arrival > other.account->arrival;
  }

  // Takes up to `max` of the rows. Returns how many.
  int64_t Take(int64_t max, Rows* rows, int64_t* allocation) const {
    const int64_t with_one = demand->tokens_with_one_row();
    const int64_t used_logits = std::max<int64_t>(*allocation - with_one, 0);
    const int64_t limit =
        std::min(demand->tokens, with_one + used_logits + rows->more_logits);
    const int64_t taken = std::min({max, rows->tokens, limit - *allocation});
    *allocation += taken;
    rows->tokens -= taken;
    rows->more_logits -=
        std::max<int64_t>(*allocation - with_one, 0) - used_logits;
    return taken;
  }
};

std::vector<PromptPolicy::Prompt> PromptPolicy::BehindOf(
    absl::Span<const Prompt> prompts) {
  std::vector<Prompt> behind;
  for (const Prompt& prompt : prompts) {
    if (prompt.account->IsBehind()) behind.push_back(prompt);
  }
  std::sort(behind.begin(), behind.end(), [](const Prompt& a, const Prompt& b) {
    return std::tuple(a.account->arrival, a.demand->prompt) <
           std::tuple(b.account->arrival, b.demand->prompt);
  });
  return behind;
}

void PromptPolicy::BeginStep(absl::Span<const StepDemand> demands) {
  ++step_;
  for (const StepDemand& demand : demands) {
    if (!demand.prefills()) continue;
    const auto [account, is_new] = accounts_.try_emplace(demand.prompt);
    if (is_new) account->second.arrival = step_;
    account->second.last_step = step_;
  }
  std::erase_if(accounts_, [this](const auto& entry) {
    return entry.second.last_step != step_;
  });
}

std::vector<PromptPolicy::Prompt> PromptPolicy::InOrder(
    int64_t num_rows, absl::Span<const int64_t> prompts,
    absl::Span<const StepDemand> demands) {
  std::vector<Prompt> order;
  for (const int64_t i : prompts) {
    order.push_back({i, &demands[i], &accounts_.at(demands[i].prompt)});
  }
  std::sort(order.begin(), order.end(),
            [num_rows](const Prompt& a, const Prompt& b) {
              return a.Key(num_rows) < b.Key(num_rows);
            });
  return order;
}

void PromptPolicy::Divide(Rows rows, absl::Span<const int64_t> prompts,
                          absl::Span<const StepDemand> demands,
                          absl::Span<int64_t> allocations) {
  if (rows.tokens == 0 || prompts.empty()) return;
  const int64_t num_rows = rows.tokens;
  const std::vector<Prompt> order = InOrder(num_rows, prompts, demands);
  const std::vector<Prompt> behind = BehindOf(order);
  const auto grant = [&](absl::Span<const Prompt> receivers, int64_t max) {
    for (const Prompt& prompt : receivers) {
      max -= prompt.Take(max, &rows, &allocations[prompt.index]);
    }
  };
  const auto first_later =
      std::find_if(order.begin(), order.end(), [&behind](const Prompt& prompt) {
        return !behind.empty() && prompt.IsLaterThan(behind[0]);
      });
  grant({order.data(), static_cast<size_t>(first_later - order.begin())},
        rows.tokens);
  grant(order, (rows.tokens + 1) / 2);
  grant(behind, rows.tokens);
  grant(order, rows.tokens);
  const int64_t fair_share =
      (num_rows - rows.tokens) * kUnits / static_cast<int64_t>(order.size());
  for (const Prompt& prompt : order) {
    prompt.account->got += allocations[prompt.index];
    prompt.account->fair_share += fair_share;
  }
}

}  // namespace rwkvd
