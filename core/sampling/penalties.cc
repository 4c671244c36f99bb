// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/penalties.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace rwkvd {
namespace {

// As many as a window holds, of which 0 holds all.
absl::Span<const int32_t> Last(absl::Span<const int32_t> ids, int64_t window) {
  const size_t size = ids.size();
  return window == 0 ? ids
                     : ids.last(std::min(size, static_cast<size_t>(window)));
}

}  // namespace

PenaltyHistory::PenaltyHistory(const SamplingParams& params,
                               const SamplingVocabulary& vocabulary,
                               absl::Span<const int32_t> prompt)
    : has_repetition_(params.repetition_penalty != 1),
      has_presence_or_frequency_(params.presence_penalty != 0 ||
                                 params.frequency_penalty != 0),
      has_sequences_(params.sequence_repetition.flat_penalty != 0 ||
                     params.sequence_repetition.stacking_penalty != 0),
      repetition_window_(params.repetition_window),
      // Counts that decay are rounded at each token, so none is left out.
      penalty_window_(params.penalty_decay == 1 ? params.penalty_window : 0),
      scope_(params.penalty_scope),
      repetition_penalty_(params.repetition_penalty),
      presence_penalty_(params.presence_penalty),
      frequency_penalty_(params.frequency_penalty),
      sequences_(params.sequence_repetition),
      exempt_(params.exempt_blanks_and_digits ? vocabulary.blanks_and_digits
                                              : std::vector<int32_t>()),
      repeated_(params.repetition_window, 1),
      counts_(params.penalty_window, params.penalty_decay) {
  if (scope_ != PenaltyScope::kOutput) Add(prompt);
}

void PenaltyHistory::Apply(absl::Span<float> logits) {
  if (has_repetition_) {
    PenalizeRepetition(repeated_.Now(), repetition_penalty_, logits);
  }
  if (has_presence_or_frequency_) {
    PenalizePresenceAndFrequency(counts_.Now(), presence_penalty_,
                                 frequency_penalty_, logits);
  }
  if (has_sequences_) {
    FindRepeatedSequences(window_, sequences_, &found_);
    PenalizeSequences(found_, sequences_, logits);
  }
}

void PenaltyHistory::AddDrawn(absl::Span<const int32_t> ids) {
  if (scope_ != PenaltyScope::kPrompt) Add(ids);
}

void PenaltyHistory::Add(absl::Span<const int32_t> ids) {
  if (has_repetition_) {
    for (const int32_t id : Last(ids, repetition_window_)) repeated_.Add(id, 1);
  }
  if (has_presence_or_frequency_) {
    for (const int32_t id : Last(ids, penalty_window_)) {
      const bool is_exempt =
          std::binary_search(exempt_.begin(), exempt_.end(), id);
      counts_.Add(id, is_exempt ? 0 : 1);
    }
  }
  if (has_sequences_) {
    for (const int32_t id : Last(ids, sequences_.window)) AddToWindow(id);
  }
}

void PenaltyHistory::AddToWindow(int32_t id) {
  if (window_.size() == static_cast<size_t>(sequences_.window)) {
    window_.erase(window_.begin());  // moves a kilobyte at most
  }
  window_.push_back(id);
}

TokenCounts::TokenCounts(int64_t window, double decay)
    : window_(window),
      decay_(decay),
      decay_of_window_(std::pow(decay, static_cast<double>(window))) {}

void TokenCounts::Add(int32_t id, double weight) {
  ++step_;
  if (window_ > 0) {
    const int64_t place = (step_ - 1) % window_;
    if (step_ <= window_) {
      last_.push_back(id);
    } else {
      Forget(last_[place]);
      last_[place] = id;
    }
  }
  const auto [it, is_new] =
      places_.try_emplace(id, static_cast<int32_t>(entries_.size()));
  if (is_new) {
    entries_.push_back({.id = id, .weight = weight, .step_then = step_});
  }
  Entry& entry = entries_[it->second];
  Settle(&entry);
  ++entry.times;
  entry.count_then += weight;
}

absl::Span<const TokenCounts::Entry> TokenCounts::Now() {
  for (Entry& entry : entries_) {
    entry.count = entry.count_then * Power(step_ - entry.step_then);
  }
  return entries_;
}

double TokenCounts::Power(int64_t steps) const {
  return decay_ == 1 ? 1 : std::pow(decay_, static_cast<double>(steps));
}

void TokenCounts::Settle(Entry* entry) {
  entry->count_then *= Power(step_ - entry->step_then);
  entry->step_then = step_;
}

void TokenCounts::Forget(int32_t id) {
  const auto it = places_.find(id);
  const int32_t place = it->second;
  Entry& entry = entries_[place];
  if (--entry.times > 0) {
    Settle(&entry);
    entry.count_then -= entry.weight * decay_of_window_;
    return;
  }
  places_.erase(it);
  if (entry.id != entries_.back().id) {
    entry = entries_.back();
    places_[entry.id] = place;
  }
  entries_.pop_back();
}

void PenalizeRepetition(absl::Span<const TokenCounts::Entry> seen,
                        float penalty, absl::Span<float> logits) {
  for (const TokenCounts::Entry& entry : seen) {
    if (static_cast<size_t>(entry.id) >= logits.size()) continue;
    float& logit = logits[entry.id];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void PenalizePresenceAndFrequency(absl::Span<const TokenCounts::Entry> seen,
                                  double presence, double frequency,
                                  absl::Span<float> logits) {
  for (const TokenCounts::Entry& entry : seen) {
    if (static_cast<size_t>(entry.id) >= logits.size()) continue;
    logits[entry.id] -= static_cast<float>(presence + entry.count * frequency);
  }
}

}  // namespace rwkvd
