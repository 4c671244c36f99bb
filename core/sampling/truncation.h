// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TRUNCATION_H_
#define RWKVD_CORE_SAMPLING_TRUNCATION_H_

#include <cstdint>
#include <vector>

#include "core/sampling/distribution.h"
#include "core/sampling/params.h"

namespace rwkvd {

// Leaves the k >= 1 likeliest candidates; of those alike at the edge the ones
// of lower ids. `distribution` is not empty.
void KeepTopK(int64_t k, Distribution* distribution);

// Leaves the likeliest candidates whose probabilities first sum to p or more,
// p in (0, 1); those as likely as the last of them stay too. Then, of these,
// the `top_k` likeliest, as KeepTopK does, but with less work; 0 for all.
// `distribution` is not empty.
void KeepTopP(double p, Distribution* distribution, int64_t top_k = 0);

// Leaves the candidates that are at least p times as likely as the likeliest,
// p in (0, 1]. `distribution` is not empty.
void KeepMinP(double p, Distribution* distribution);

// Cuts the tail off where the probabilities, in descending order, run out into
// a straight line. Of their second differences |p_i - 2 p_(i+1) + p_(i+2)|,
// divided by the sum of all, those up to some i first sum to more than z: the
// first i candidates are left, at least one. z in (0, 1).
//
// Candidates less likely than e^-16 (about 10^-7) of the likeliest are tail
// whatever z is, so that there is less to put in order. `distribution` is not
// empty.
void KeepTailFree(double z, Distribution* distribution);

// Leaves the most typical candidates (arXiv 2202.00666): those whose -ln p is
// closest to the entropy, the mean of -ln p, and whose probabilities first sum
// to `p` or more, p in (0, 1). Those as close as the last of them stay too.
// `distribution` is not empty.
void KeepLocallyTypical(double p, Distribution* distribution);

struct KeyedWeight {
  double key = 0;
  double weight = 0;
};

// The key at which the weights, taken by ascending keys, first sum to `wanted`
// or more; the largest if they never do. Sorts into ever narrower bins, which
// takes a few passes over `items` where sorting them would take many. At least
// one item; keys are finite. Leaves nothing useful in `items`.
double KeyAtWeight(double wanted, std::vector<KeyedWeight>* items);

// Leaves the candidates that top-k, tail-free, locally typical, top-p and
// min-p leave, as far as they are on, in the order of `params`. Each looks at
// the probabilities among those that the ones before it have left.
// `distribution` is not empty.
void Truncate(const SamplingParams& params, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TRUNCATION_H_
