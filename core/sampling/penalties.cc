// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/penalties.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace rwkvd {

TokenCounts::TokenCounts(int64_t window, double decay)
    : window_(window),
      decay_(decay),
      decay_of_window_(std::pow(decay, static_cast<double>(window))) {}

void TokenCounts::Add(int32_t id, double weight) {
  ++step_;
  if (window_ > 0) {
    const int64_t slot = (step_ - 1) % window_;
    if (step_ <= window_) {
      last_.push_back(id);
    } else {
      RemoveOne(last_[slot]);
      last_[slot] = id;
    }
  }
  const auto [it, is_new] =
      index_of_.try_emplace(id, static_cast<int32_t>(entries_.size()));
  if (is_new) {
    entries_.push_back({.id = id, .weight = weight, .settled_step = step_});
  }
  Entry& entry = entries_[it->second];
  ApplyDecay(&entry);
  ++entry.times;
  entry.settled_count += weight;
}

absl::Span<const TokenCounts::Entry> TokenCounts::Current() {
  for (Entry& entry : entries_) {
    entry.count = entry.settled_count * Power(step_ - entry.settled_step);
  }
  return entries_;
}

int64_t TokenCounts::MaxBytes(int64_t window, int64_t num_ids,
                              int64_t num_tokens) {
  // Vectors and hash tables have up to twice the capacity that they need, and
  // while they grow also their old one. A slot of the hash table takes the pair
  // and a byte, and at most 7 of 8 slots are used.
  constexpr int64_t kEntryBytes =
      3 * (sizeof(Entry) + (sizeof(std::pair<int32_t, int32_t>) + 1) * 8 / 7);
  const int64_t in_window =
      window == 0 ? num_tokens : std::min(window, num_tokens);
  const int64_t ring_bytes = window == 0 ? 0 : 3 * in_window * sizeof(int32_t);
  // One more, because a token is added before the oldest one is removed.
  return ring_bytes + (std::min(num_ids, in_window) + 1) * kEntryBytes;
}

double TokenCounts::Power(int64_t steps) const {
  return decay_ == 1 ? 1 : std::pow(decay_, static_cast<double>(steps));
}

void TokenCounts::ApplyDecay(Entry* entry) {
  entry->settled_count *= Power(step_ - entry->settled_step);
  entry->settled_step = step_;
}

void TokenCounts::RemoveOne(int32_t id) {
  const auto it = index_of_.find(id);
  const int32_t index = it->second;
  Entry& entry = entries_[index];
  if (--entry.times > 0) {
    ApplyDecay(&entry);
    entry.settled_count -= entry.weight * decay_of_window_;
    return;
  }
  index_of_.erase(it);
  if (entry.id != entries_.back().id) {
    entry = entries_.back();
    index_of_[entry.id] = index;
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

namespace {

// Returns the last `window` ids, or all of them if `window` is 0.
absl::Span<const int32_t> Last(absl::Span<const int32_t> ids, int64_t window) {
  const size_t size = ids.size();
  return window == 0 ? ids
                     : ids.last(std::min(size, static_cast<size_t>(window)));
}

}  // namespace

int64_t PenaltyHistory::MaxBytes(const SamplingParams& params, int64_t num_ids,
                                 int64_t num_tokens) {
  int64_t bytes = 0;
  if (params.repetition_penalty != 1) {
    bytes +=
        TokenCounts::MaxBytes(params.repetition_window, num_ids, num_tokens);
  }
  if (params.presence_penalty != 0 || params.frequency_penalty != 0) {
    const int64_t window =
        params.penalty_decay == 1 ? params.penalty_window : 0;
    bytes += TokenCounts::MaxBytes(window, num_ids, num_tokens);
  }
  return bytes;
}

PenaltyHistory::PenaltyHistory(const SamplingParams& params,
                               const SamplingVocabulary& vocabulary,
                               absl::Span<const int32_t> prompt)
    : has_repetition_(params.repetition_penalty != 1),
      has_presence_or_frequency_(params.presence_penalty != 0 ||
                                 params.frequency_penalty != 0),
      has_sequences_(params.sequence_repetition.flat_penalty != 0 ||
                     params.sequence_repetition.stacking_penalty != 0),
      repetition_window_(params.repetition_window),
      // Each added token rounds counts that decay. To get the same bits, all
      // tokens are added even if the window holds fewer.
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
    PenalizeRepetition(repeated_.Current(), repetition_penalty_, logits);
  }
  if (has_presence_or_frequency_) {
    PenalizePresenceAndFrequency(counts_.Current(), presence_penalty_,
                                 frequency_penalty_, logits);
  }
  if (has_sequences_) {
    FindRepeatedSequences(window_, sequences_, &found_);
    PenalizeSequences(found_, sequences_, logits);
  }
}

void PenaltyHistory::AddGenerated(absl::Span<const int32_t> ids) {
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
    window_.erase(window_.begin());  // moves at most one kilobyte
  }
  window_.push_back(id);
}

}  // namespace rwkvd
