// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/even_sharing.h"

#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace rwkvd {

int64_t EvenSharing::Left(uint64_t prompt) const {
  const auto found = prompts_.find(prompt);
  return found == prompts_.end() ? 0 : found->second.left;
}

void EvenSharing::BeginStep(absl::Span<const StepDemand> demands) {
  ++step_;
  for (const StepDemand& demand : demands) {
    const auto found = prompts_.find(demand.prompt);
    if (!demand.prefills() || found == prompts_.end()) continue;
    Prompt& prompt = found->second;
    // A prompt is prefilled again if there was no room for its result.
    const int64_t more = demand.tokens_left() - prompt.remaining;
    prompt.left = std::max<int64_t>(prompt.left + more, 0);
    prompt.remaining = demand.tokens_left();
    prompt.last_step = step_;
  }
  std::erase_if(prompts_, [this](const auto& entry) {
    return entry.second.remaining > 0 && entry.second.last_step != step_;
  });
  // Before the new prompts are added: they may belong to a new flow that has
  // the address of one that has ended.
  Forget();
  for (const StepDemand& demand : demands) {
    if (!demand.prefills()) continue;
    const int64_t tokens = demand.tokens_left();
    prompts_.try_emplace(demand.prompt,
                         Prompt{demand.flow, tokens, tokens, step_});
  }
}

void EvenSharing::EndStep(absl::Span<const StepDemand> demands,
                          absl::Span<const int64_t> allocations) {
  absl::flat_hash_map<const void*, int64_t> rows;  // by flow
  for (size_t i = 0; i < demands.size(); ++i) {
    if (!demands[i].prefills()) continue;
    prompts_.at(demands[i].prompt).remaining -= allocations[i];
    rows[demands[i].flow] += allocations[i];
  }
  for (const auto& [flow, num_rows] : rows) Divide(flow, num_rows);
  Forget();
}

void EvenSharing::Divide(const void* flow, int64_t rows) {
  std::vector<Prompt*> prompts;  // latest first
  for (auto next = prompts_.rbegin(); next != prompts_.rend(); ++next) {
    Prompt& prompt = next->second;
    if (prompt.flow == flow && prompt.left > 0) prompts.push_back(&prompt);
  }
  // The shortest first: what they leave of an even share goes to the others.
  // Of equal prompts the latest first, so that the remainder of the division
  // goes to the first ones.
  std::stable_sort(
      prompts.begin(), prompts.end(),
      [](const Prompt* a, const Prompt* b) { return a->left < b->left; });
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t even = rows / static_cast<int64_t>(prompts.size() - i);
    const int64_t part = std::min(prompts[i]->left, even);
    prompts[i]->left -= part;
    rows -= part;
  }
}

void EvenSharing::Forget() {
  absl::flat_hash_set<const void*> busy;  // flows
  size_t num_complete = 0;
  for (const auto& [id, prompt] : prompts_) {
    if (prompt.remaining > 0) busy.insert(prompt.flow);
    if (prompt.remaining == 0) ++num_complete;
  }
  std::erase_if(prompts_, [&](const auto& entry) {
    const Prompt& prompt = entry.second;
    if (prompt.remaining > 0) return false;
    const bool is_needed = prompt.left > 0 && busy.contains(prompt.flow);
    if (is_needed && num_complete <= kMaxCompletePrompts) return false;
    --num_complete;
    return true;
  });
}

}  // namespace rwkvd
