// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_PENALTY_HISTORY_H_
#define RWKVD_CORE_SAMPLING_PENALTY_HISTORY_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/sampling_params.h"
#include "core/sampling/sampling_vocabulary.h"
#include "core/sampling/sequence_repetition.h"
#include "core/sampling/token_counts.h"

namespace rwkvd {

// What earlier tokens take from the logits of one sequence: it remembers as
// much of prompt and answer as the penalties of its parameters look at.
//
// Owned by one sampler; thread-compatible.
class PenaltyHistory {
 public:
  // `prompt` is everything that was read, wherever the state after it came
  // from.
  PenaltyHistory(const SamplingParams& params,
                 const SamplingVocabulary& vocabulary,
                 absl::Span<const int32_t> prompt);

  // Whether Apply would change nothing.
  bool empty() const {
    return repeated_.empty() && counts_.empty() && window_.empty();
  }

  // Repetition, then presence and frequency, then sequence repetition.
  void Apply(absl::Span<float> logits);

  // Adds a token of the answer, or several, oldest first: the same as one after
  // the other, but each penalty looks at no more of them than it remembers.
  void AddDrawn(int32_t id) { AddDrawn(absl::MakeConstSpan(&id, 1)); }
  void AddDrawn(absl::Span<const int32_t> ids);

 private:
  void Add(absl::Span<const int32_t> ids);
  void AddToWindow(int32_t id);

  // Whether each takes part.
  const bool has_repetition_;
  const bool has_presence_or_frequency_;
  const bool has_sequences_;

  // Last tokens that are remembered, exactly; 0: all.
  const int64_t repetition_window_;
  const int64_t penalty_window_;

  const PenaltyScope scope_;
  const float repetition_penalty_;
  const double presence_penalty_;
  const double frequency_penalty_;
  const SequenceRepetition sequences_;
  const std::vector<int32_t> exempt_;  // ascending

  TokenCounts repeated_;                 // for the repetition penalty
  TokenCounts counts_;                   // for presence and frequency
  std::vector<int32_t> window_;          // of sequence repetition, oldest first
  std::vector<RepeatedSequence> found_;  // scratch
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_PENALTY_HISTORY_H_
