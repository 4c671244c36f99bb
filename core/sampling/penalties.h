// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_PENALTIES_H_
#define RWKVD_CORE_SAMPLING_PENALTIES_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/sampling/params.h"
#include "core/sampling/sequence_repetition.h"

namespace rwkvd {

// How often each token was seen among the last ones of a text, the older the
// less.
//
// Owned by one sequence; thread-compatible. A token takes constant time, and
// memory only when it is new.
class TokenCounts {
 public:
  struct Entry {
    int32_t id = 0;
    int32_t times = 0;  // within the window: 1 or more
    double count = 0;   // sum of weight * decay^age over these times
    double weight = 0;
    // The count when the token was last added or forgotten. It is worked out
    // from this each time, so that it does not depend on when it is asked for.
    double count_then = 0;
    int64_t step_then = 0;
  };

  // Of the last `window` tokens, or all of them for 0. Each further token
  // multiplies counts by `decay`, in [0, 1].
  TokenCounts(int64_t window, double decay);

  // Adds the next token. `weight` is what each time counts for: a function of
  // the id.
  void Add(int32_t id, double weight);

  bool empty() const { return entries_.empty(); }

  // Every token seen, with its count now, in an order that depends on the
  // tokens alone. Until the next Add.
  absl::Span<const Entry> Now();

 private:
  double Power(int64_t steps) const;
  void Settle(Entry* entry);
  void Forget(int32_t id);

  const int64_t window_;
  const double decay_;
  const double decay_of_window_;  // decay^window
  int64_t step_ = 0;              // tokens added
  std::vector<Entry> entries_;
  absl::flat_hash_map<int32_t, int32_t> places_;  // of ids in entries_
  std::vector<int32_t> last_;  // a ring of the window's tokens
};

// What tokens seen before cost. Ids beyond `logits` are passed over.

// Divides the logit of each by `penalty` if it is positive, else multiplies it:
// above 1 it makes them less likely. > 0.
void PenalizeRepetition(absl::Span<const TokenCounts::Entry> seen,
                        float penalty, absl::Span<float> logits);

// Takes `presence` from the logit of each, and its count times `frequency`.
void PenalizePresenceAndFrequency(absl::Span<const TokenCounts::Entry> seen,
                                  double presence, double frequency,
                                  absl::Span<float> logits);

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

#endif  // RWKVD_CORE_SAMPLING_PENALTIES_H_
