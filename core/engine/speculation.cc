// SPDX-License-Identifier: Apache-2.0
#include "core/engine/speculation.h"

#include <algorithm>
#include <cstddef>

namespace rwkvd {

Speculation::Speculation(int64_t max_tokens, double max_slowdown,
                         const Model* model)
    : max_tokens_(max_tokens),
      model_(model),
      budget_(max_tokens, max_slowdown) {}

int64_t Speculation::Plan(absl::Span<const std::unique_ptr<Sequence>> running,
                          absl::Span<const StepDemand> demands,
                          int64_t max_tokens) {
  num_decoding_ = num_drafted_ = 0;
  drafters_.clear();
  guesses_.clear();
  if (max_tokens_ == 0) return 0;
  const auto prefills = [](const StepDemand& demand) {
    return demand.prefills();
  };
  if (std::any_of(demands.begin(), demands.end(), prefills)) return 0;
  for (const StepDemand& demand : demands) {
    if (demand.tokens > 0) ++num_decoding_;
  }
  if (num_decoding_ > DraftBudget::kMaxDecoding) return 0;
  max_tokens = std::min(max_tokens, max_tokens_);
  for (size_t i = 0; i < running.size(); ++i) {
    Drafter* const drafter = running[i]->drafter();
    if (drafter == nullptr || demands[i].tokens == 0) continue;
    const int64_t num_tokens = running[i]->GuessDraft(max_tokens);
    if (num_tokens == 0) continue;
    drafters_.push_back(drafter);
    guesses_.push_back({num_tokens, drafter->acceptance()});
  }
  Use(budget_.Choose(num_decoding_, guesses_, max_tokens));
  return num_drafted_;
}

void Speculation::Use(absl::Span<const int64_t> num_tokens) {
  for (const int64_t num : num_tokens) num_drafted_ += num;
  while (static_cast<int64_t>(states_.size()) < num_drafted_) {
    states_.push_back(model_->NewState());
  }
  absl::Span<State> free = absl::MakeSpan(states_);
  for (size_t i = 0; i < drafters_.size(); ++i) {
    drafters_[i]->Use(free.first(num_tokens[i]));
    free.remove_prefix(num_tokens[i]);
  }
}

void Speculation::Observe(double seconds) {
  if (max_tokens_ == 0 || num_decoding_ == 0) return;
  budget_.Observe(num_decoding_, num_drafted_, seconds);
  if (num_drafted_ == 0) return;
  // Each step is longer for all sequences.
  const double cost = budget_.Cost(num_decoding_, num_drafted_) *
                      static_cast<double>(num_decoding_);
  for (Drafter* const drafter : drafters_) {
    drafter->Pay(cost * static_cast<double>(drafter->draft().size()) /
                 static_cast<double>(num_drafted_));
  }
}

}  // namespace rwkvd
