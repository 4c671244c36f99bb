// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_MIROSTAT_H_
#define RWKVD_CORE_SAMPLING_MIROSTAT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/distribution.h"
#include "core/sampling/params.h"

namespace rwkvd {

// The exponent s of Zipf's law p_i ~ i^-s that fits the likeliest tokens, in
// order: sum of t_i b_i / sum of t_i^2 with t_i = ln((i + 1) / i) and
// b_i = ln(p_i / p_(i+1)). 1 for fewer than two.
double ZipfExponent(absl::Span<const TokenLogprob> likeliest);

// How many of n tokens to choose from, under that law, for a surprise of mu
// bits: ((e 2^mu) / (1 - n^-e))^(1/s) with e = s - 1, rounded; [1, n].
int64_t NumForSurprise(double s, double mu, int64_t n);

// Keeps the surprise -log2 p of the tokens drawn near tau: each draw is from
// tokens of limited surprise, and moves the limit mu, 2 tau at first, by eta
// times what the drawn one was off (arXiv 2007.14966). p is the probability
// that the token had before any were dropped.
//
// Owned by one sampler; thread-compatible.
class Mirostat {
 public:
  // `params.version` is 1 or 2.
  explicit Mirostat(const MirostatParams& params);

  // Version 1 leaves the NumForSurprise(s, mu, n) likeliest of n tokens, s
  // fitted to the 100 likeliest; version 2 those of a surprise of mu at most,
  // or the likeliest. `distribution` is whole and not empty.
  void Narrow(Distribution* distribution);

  // `id` was drawn from what Narrow has left.
  void Learn(int32_t id, Distribution* distribution);

  double mu() const { return mu_; }
  // Goes on where another one had come to.
  void set_mu(double mu) { mu_ = mu; }

 private:
  const MirostatParams params_;
  double mu_;
  double log_sum_ = 0;  // of the weights, before any were dropped
  std::vector<TokenLogprob> likeliest_;  // scratch
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_MIROSTAT_H_
