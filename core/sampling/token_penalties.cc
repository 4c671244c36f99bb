// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/token_penalties.h"

#include <cstddef>

namespace rwkvd {

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
