// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/penalty_history.h"

#include <algorithm>
#include <cstddef>

#include "core/sampling/token_penalties.h"

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

}  // namespace rwkvd
