// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TOKEN_PENALTIES_H_
#define RWKVD_CORE_SAMPLING_TOKEN_PENALTIES_H_

#include "absl/types/span.h"
#include "core/sampling/token_counts.h"

namespace rwkvd {

// What tokens seen before cost. Ids beyond `logits` are passed over.

// Divides the logit of each by `penalty` if it is positive, else multiplies it:
// above 1 it makes them less likely. > 0.
void PenalizeRepetition(absl::Span<const TokenCounts::Entry> seen,
                        float penalty, absl::Span<float> logits);

// Takes `presence` from the logit of each, and its count times `frequency`.
void PenalizePresenceAndFrequency(absl::Span<const TokenCounts::Entry> seen,
                                  double presence, double frequency,
                                  absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TOKEN_PENALTIES_H_
