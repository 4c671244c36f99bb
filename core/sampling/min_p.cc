// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/min_p.h"

#include <algorithm>
#include <cmath>

namespace rwkvd {

void KeepMinP(double p, Distribution* distribution) {
  if (distribution->is_whole()) {
    // A little more than is left in the end, so that rounding cuts off none.
    const double depth = (1e-3 - std::log(p)) / distribution->scale();
    distribution->KeepAtLeast(FloatBelow(distribution->reference() - depth));
  }
  double largest = 0;
  for (const Candidate& candidate : distribution->candidates()) {
    largest = std::max(largest, candidate.weight);
  }
  distribution->Drop([lowest = p * largest](const Candidate& candidate) {
    return candidate.weight < lowest;
  });
}

}  // namespace rwkvd
