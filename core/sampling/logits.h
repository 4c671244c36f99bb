// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_LOGITS_H_
#define RWKVD_CORE_SAMPLING_LOGITS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/params.h"

namespace rwkvd {

// Questions about one row of logits: what the model says of the next token,
// before any sampler. A logit that is NaN or infinite counts as probability
// zero everywhere. Pure functions; a row is [vocab_size], at least one logit.

struct TokenLogprob {
  int32_t id = 0;
  double logprob = 0;  // natural logarithm of its probability
};

// The likeliest token: the lowest id among the largest logits; 0 if none is
// finite.
int32_t GreedyId(absl::Span<const float> logits);

// What the log-probability of a token needs to know of all the others.
struct LogSoftmax {
  int32_t greedy_id = 0;
  // The largest logit, and the logarithm of the sum over all of
  // exp(logit - largest): nothing overflows, and little is lost.
  double largest = 0;
  double log_sum = 0;
};

LogSoftmax ComputeLogSoftmax(absl::Span<const float> logits);

// Natural logarithm of the probability of `id`: <= 0; -infinity for zero.
double LogProbability(absl::Span<const float> logits,
                      const LogSoftmax& log_softmax, int32_t id);

// Sets `ids` to the `n` likeliest tokens, likeliest first, the lower id first
// of two alike; fewer if fewer are finite. Meant for small n.
void LikeliestIds(absl::Span<const float> logits, int64_t n,
                  std::vector<int32_t>* ids);

// A logit that at least `n` of a row reach, and hardly more for small n: the
// n-th largest of the `maxima` of its blocks, or -infinity if there are fewer
// blocks. Reorders `maxima`.
float LogitOfRank(int64_t n, absl::Span<float> maxima);

// What a request says of single tokens. Ids are within the logits.

// Adds each bias to its token's logit; those of one token add up.
void AddBias(absl::Span<const LogitBias> biases, absl::Span<float> logits);

// Lets none of `ids` be drawn.
void Ban(absl::Span<const int32_t> ids, absl::Span<float> logits);

// Sets `logits` to those of `row`, of the same size, that belong to `ids`; lets
// no other be drawn.
void CopyOnly(absl::Span<const int32_t> ids, absl::Span<const float> row,
              absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_LOGITS_H_
