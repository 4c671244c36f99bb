// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_
#define RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/params.h"

namespace rwkvd {

// A token that would repeat a sequence seen before.
struct RepeatedSequence {
  int32_t next = 0;    // the token
  int32_t length = 0;  // tokens of the longest sequence it completes, with it
};

// What would continue `tokens`, oldest first, as an earlier part of them went
// on. At each place, the tokens before it are compared with the last ones,
// backwards from the end; where at least `min_length` of the last ones agree,
// the token at the place is found.
//
// Up to `tolerance` times, one of the last tokens agrees with any 1 to
// `max_merge` earlier ones, if tokens that are equal follow on both sides. Each
// token is found once, with its longest sequence, in the order of its first
// place. Takes n^2 * (tolerance + 1) * max_merge steps.
void FindRepeatedSequences(absl::Span<const int32_t> tokens,
                           const SequenceRepetition& params,
                           std::vector<RepeatedSequence>* found);

// Takes flat_penalty + length * stacking_penalty from the logit of each. Ids
// beyond `logits` are passed over.
void PenalizeSequences(absl::Span<const RepeatedSequence> sequences,
                       const SequenceRepetition& params,
                       absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SEQUENCE_REPETITION_H_
