// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_LOGITS_H_
#define RWKVD_CORE_SAMPLING_LOGITS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/params.h"

namespace rwkvd {

// Pure functions of one row of logits [vocab_size]: the model's scores of the
// next token. A row has at least one logit. A logit that is NaN or infinite
// stands for probability zero.

// A token and its log-probability. A value.
struct TokenLogprob {
  int32_t id = 0;
  double logprob = 0;  // natural logarithm of the token's probability
};

// Whether every logit is finite. If one is not, the weights of the model are
// damaged or its arithmetic has overflowed, and no answer can be trusted.
bool AllFinite(absl::Span<const float> logits);

// Returns the likeliest token: the lowest id among the largest logits; 0 if no
// logit is finite.
int32_t GreedyId(absl::Span<const float> logits);

// The normalization of a row, from which LogProbability computes any token's
// log-probability.
struct LogSoftmax {
  int32_t greedy_id = 0;
  // The largest logit, and ln of the sum of exp(logit - largest) over all
  // logits: this form does not overflow and keeps precision.
  double largest = 0;
  double log_sum = 0;
};

LogSoftmax ComputeLogSoftmax(absl::Span<const float> logits);

// Returns the natural logarithm of the probability of `id`: <= 0, and -infinity
// for probability zero.
double LogProbability(absl::Span<const float> logits,
                      const LogSoftmax& log_softmax, int32_t id);

// Sets `ids` to the `n` likeliest tokens, likeliest first; of equal logits, the
// lower id comes first. There are fewer than n if fewer logits are finite.
// Meant for small n.
void LikeliestIds(absl::Span<const float> logits, int64_t n,
                  std::vector<int32_t>* ids);

// Returns a threshold that at least `n` logits of a row reach, and few more for
// small n: the n-th largest of `maxima`, the maxima of the row's blocks, or
// -infinity if there are fewer than n blocks. Reorders `maxima`.
float LogitOfRank(int64_t n, absl::Span<float> maxima);

// The functions below apply a request's settings for single tokens. All ids are
// valid indices of `logits`.

// Adds each bias to its token's logit; several biases of one token add up.
void AddBiases(absl::Span<const LogitBias> biases, absl::Span<float> logits);

// Gives all `ids` probability zero.
void BanTokens(absl::Span<const int32_t> ids, absl::Span<float> logits);

// Copies the logits of `ids` from `row` to `logits`, which has the same size,
// and gives all other tokens probability zero.
void CopyAllowed(absl::Span<const int32_t> ids, absl::Span<const float> row,
                 absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_LOGITS_H_
