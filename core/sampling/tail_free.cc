// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/tail_free.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/sampling/min_p.h"

namespace rwkvd {
namespace {

constexpr double kLowestProbability = 1.1253517471925912e-7;  // e^-16

double SecondDifference(const std::vector<Candidate>& ranked, size_t i) {
  return std::abs((ranked[i].weight - ranked[i + 1].weight) -
                  (ranked[i + 1].weight - ranked[i + 2].weight));
}

// How many of `ranked`, at least three, are left.
size_t NumKept(double z, const std::vector<Candidate>& ranked) {
  const size_t n = ranked.size() - 2;
  double all = 0;
  for (size_t i = 0; i < n; ++i) all += SecondDifference(ranked, i);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += SecondDifference(ranked, i);
    if (sum > z * all) return std::max<size_t>(i, 1);
  }
  return ranked.size();
}

}  // namespace

void KeepTailFree(double z, Distribution* distribution) {
  KeepMinP(kLowestProbability, distribution);
  const absl::Span<const Candidate> candidates = distribution->candidates();
  if (candidates.size() < 3) return;
  std::vector<Candidate>& ranked = distribution->scratch();
  ranked.assign(candidates.begin(), candidates.end());
  std::sort(ranked.begin(), ranked.end(), IsLikelier);
  const Candidate edge = ranked[NumKept(z, ranked) - 1];
  distribution->Drop([&edge](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

}  // namespace rwkvd
