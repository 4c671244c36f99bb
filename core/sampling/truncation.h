// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TRUNCATION_H_
#define RWKVD_CORE_SAMPLING_TRUNCATION_H_

#include <cstdint>
#include <vector>

#include "core/sampling/distribution.h"
#include "core/sampling/params.h"

namespace rwkvd {

// The truncation samplers: each removes the less likely candidates of a
// distribution that is not empty, and keeps at least one.

// Keeps the k likeliest candidates, k >= 1; of equal logits at the boundary,
// the lower ids.
void KeepTopK(int64_t k, Distribution* distribution);

// Keeps the smallest set of likeliest candidates whose probabilities sum to p
// or more, p in (0, 1), and all candidates as likely as the last one of them.
// If top_k is not 0, then keeps the top_k likeliest of these, with the same
// result as a call of KeepTopK but in less time.
void KeepTopP(double p, Distribution* distribution, int64_t top_k = 0);

// Keeps the candidates at least p times as likely as the likeliest one, p in
// (0, 1].
void KeepMinP(double p, Distribution* distribution);

// Tail-free sampling: removes the candidates after the point where the
// probabilities, in descending order, flatten out into a straight line. Let
// d_i = |p_i - 2 p_(i+1) + p_(i+2)|, divided by the sum of all d_i. The first i
// candidates remain, at least one, where i is the smallest index for which
// d_0 + ... + d_i is more than z. z in (0, 1).
//
// Candidates less likely than e^-16 (about 10^-7) times the likeliest one are
// removed for any z, so that fewer need to be sorted.
void KeepTailFree(double z, Distribution* distribution);

// Locally typical sampling (arXiv 2202.00666): keeps the candidates whose -ln p
// is closest to the entropy, the mean of -ln p, until their probabilities sum
// to `p` or more, p in (0, 1), and all candidates as close as the last one of
// them.
void KeepLocallyTypical(double p, Distribution* distribution);

// Applies the samplers that `params` enables, in its order. Each one computes
// probabilities among the candidates that its predecessors kept.
void Truncate(const SamplingParams& params, Distribution* distribution);

// A candidate's weight, with the key by which a sampler orders candidates.
struct KeyedWeight {
  double key = 0;
  double weight = 0;
};

// Returns the smallest key for which the weights of all keys up to it sum to
// `wanted` or more; the largest key if there is none. There is at least one
// item, and keys are finite. Leaves `items` in an undefined state.
//
// Selects by narrowing a histogram of the keys, which takes a few passes over
// `items` where sorting would take many.
double KeyAtWeight(double wanted, std::vector<KeyedWeight>* items);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TRUNCATION_H_
