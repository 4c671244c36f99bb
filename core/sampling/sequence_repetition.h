// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_
#define RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/params.h"

namespace rwkvd {

// A token that would repeat an earlier sequence of tokens.
struct RepeatedSequence {
  int32_t next = 0;    // the token
  int32_t length = 0;  // length of the longest such sequence, with the token
};

// Finds the tokens that would continue `tokens`, oldest first, as an earlier
// part of them continued. For each position, compares the tokens before it,
// backward, with the last tokens. If at least `min_length` tokens match, the
// token at the position is found.
//
// Up to `tolerance` times, one of the last tokens is a wildcard: it matches any
// 1 to `max_merge` earlier tokens that stand between two matches of equal
// tokens. Each token is found once, with its longest sequence, in order of its
// first position. Takes n^2 * (tolerance + 1) * max_merge steps for n tokens.
void FindRepeatedSequences(absl::Span<const int32_t> tokens,
                           const SequenceRepetition& params,
                           std::vector<RepeatedSequence>* found);

// Subtracts flat_penalty + length * stacking_penalty from each token's logit.
// Ignores ids that are not indices of `logits`.
void PenalizeSequences(absl::Span<const RepeatedSequence> sequences,
                       const SequenceRepetition& params,
                       absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_
