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

// Counts how often each token occurs among the most recent tokens of a text.
// Older occurrences count less.
//
// Owned by one sequence; thread-compatible. Adding a token takes constant time,
// and allocates memory only for a new token.
class TokenCounts {
 public:
  struct Entry {
    int32_t id = 0;
    int32_t times = 0;  // occurrences in the window, 1 or more
    double count = 0;   // sum of weight * decay^age over these occurrences
    double weight = 0;
    // The count when an occurrence was last added or removed, and the step of
    // that change. `count` is always computed from this pair, so that its bits
    // do not depend on when it is read.
    double settled_count = 0;
    int64_t settled_step = 0;
  };

  // Counts the last `window` tokens, or all of them for 0. Each further token
  // multiplies the counts by `decay`, in [0, 1].
  TokenCounts(int64_t window, double decay);

  // Adds the next token. `weight` is the value of one occurrence, and must be a
  // function of the id.
  void Add(int32_t id, double weight);

  bool empty() const { return entries_.empty(); }

  // An upper bound on the memory, in bytes, that the counts of the last
  // `window` of `num_tokens` tokens take.
  static int64_t MaxBytes(int64_t window, int64_t num_ids, int64_t num_tokens);

  // Returns every token of the window with its current count, in an order that
  // depends only on the tokens. Valid until the next Add.
  absl::Span<const Entry> Current();

 private:
  double Power(int64_t steps) const;
  void ApplyDecay(Entry* entry);
  void RemoveOne(int32_t id);

  const int64_t window_;
  const double decay_;
  const double decay_of_window_;  // decay^window
  int64_t step_ = 0;              // number of tokens added
  std::vector<Entry> entries_;
  absl::flat_hash_map<int32_t, int32_t> index_of_;  // id -> index in entries_
  std::vector<int32_t> last_;  // ring buffer of the window's tokens
};

// The penalties on tokens of `seen`. Both functions ignore ids that are not
// indices of `logits`.

// Divides a token's logit by `penalty`, > 0, if the logit is positive, and
// multiplies it otherwise: a penalty above 1 makes the token less likely.
void PenalizeRepetition(absl::Span<const TokenCounts::Entry> seen,
                        float penalty, absl::Span<float> logits);

// Subtracts presence + count * frequency from each token's logit.
void PenalizePresenceAndFrequency(absl::Span<const TokenCounts::Entry> seen,
                                  double presence, double frequency,
                                  absl::Span<float> logits);

// The tokens of one sequence that its penalties depend on. Keeps only as many
// tokens of the prompt and the output as the penalties' windows need.
//
// Owned by one sampler; thread-compatible.
class PenaltyHistory {
 public:
  // `prompt` is the whole text before the output, also the part that a saved or
  // cached state stands for.
  PenaltyHistory(const SamplingParams& params,
                 const SamplingVocabulary& vocabulary,
                 absl::Span<const int32_t> prompt);

  // An upper bound on the memory, in bytes, that the history of a text of
  // `num_tokens` tokens takes.
  static int64_t MaxBytes(const SamplingParams& params, int64_t num_ids,
                          int64_t num_tokens);

  // Whether Apply would change nothing.
  bool empty() const {
    return repeated_.empty() && counts_.empty() && window_.empty();
  }

  // Applies the repetition penalty, then presence and frequency, then sequence
  // repetition.
  void Apply(absl::Span<float> logits);

  // Adds generated tokens, oldest first. The result is the same as that of
  // adding them one by one, but each penalty reads only as many of them as its
  // window holds.
  void AddGenerated(int32_t id) { AddGenerated(absl::MakeConstSpan(&id, 1)); }
  void AddGenerated(absl::Span<const int32_t> ids);

 private:
  void Add(absl::Span<const int32_t> ids);
  void AddToWindow(int32_t id);

  // The penalties that are enabled.
  const bool has_repetition_;
  const bool has_presence_or_frequency_;
  const bool has_sequences_;

  // The number of most recent tokens to remember; 0: all.
  const int64_t repetition_window_;
  const int64_t penalty_window_;

  const PenaltyScope scope_;
  const float repetition_penalty_;
  const double presence_penalty_;
  const double frequency_penalty_;
  const SequenceRepetition sequences_;
  const std::vector<int32_t> exempt_;  // ascending ids

  TokenCounts repeated_;         // for the repetition penalty
  TokenCounts counts_;           // for presence and frequency
  std::vector<int32_t> window_;  // for sequence repetition, oldest first
  std::vector<RepeatedSequence> found_;  // scratch
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_PENALTIES_H_
