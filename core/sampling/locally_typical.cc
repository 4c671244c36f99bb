// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/locally_typical.h"

#include <cmath>
#include <vector>

#include "core/sampling/cumulative_key.h"

namespace rwkvd {

void KeepLocallyTypical(double p, Distribution* distribution) {
  // ln p is the logit times the scale, less a constant that drops out of every
  // difference.
  double mean = 0;
  for (const Candidate& candidate : distribution->candidates()) {
    mean += candidate.weight *
            (double{candidate.logit} - distribution->reference());
  }
  mean /= distribution->Sum();
  const auto distance = [=](const Candidate& candidate) {
    return std::abs((double{candidate.logit} - distribution->reference()) -
                    mean);
  };
  thread_local std::vector<KeyedWeight> items;
  items.clear();
  for (const Candidate& candidate : distribution->candidates()) {
    items.push_back({distance(candidate), candidate.weight});
  }
  const double edge = KeyAtWeight(p * distribution->Sum(), &items);
  distribution->Drop(
      [&](const Candidate& candidate) { return distance(candidate) > edge; });
}

}  // namespace rwkvd
