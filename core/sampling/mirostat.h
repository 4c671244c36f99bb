// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_MIROSTAT_H_
#define RWKVD_CORE_SAMPLING_MIROSTAT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/distribution.h"
#include "core/sampling/params.h"

namespace rwkvd {

// Returns the exponent s of Zipf's law p_i ~ i^-s fitted to the likeliest
// tokens, in order: sum of t_i b_i / sum of t_i^2, with t_i = ln((i + 1) / i)
// and b_i = ln(p_i / p_(i+1)). Returns 1 for fewer than two tokens.
double ZipfExponent(absl::Span<const TokenLogprob> likeliest);

// Returns the number of likeliest tokens, of n, to sample from for a surprise
// of mu bits if Zipf's law with exponent s holds:
// ((e 2^mu) / (1 - n^-e))^(1/s) with e = s - 1, rounded and limited to [1, n].
int64_t NumForSurprise(double s, double mu, int64_t n);

// Mirostat sampling (arXiv 2007.14966): keeps the surprise -log2 p of the
// sampled tokens near tau. Each token is sampled from those whose surprise is
// limited by mu. mu starts at 2 tau, and each sampled token changes it by -eta
// times the difference of the token's surprise and tau. p is the token's
// probability before truncation.
//
// Owned by one sampler; thread-compatible.
class Mirostat {
 public:
  // `params.version` is 1 or 2.
  explicit Mirostat(const MirostatParams& params);

  // Truncates a distribution that is whole and not empty. Version 1 keeps the
  // NumForSurprise(s, mu, n) likeliest of n tokens, where s is fitted to the
  // 100 likeliest. Version 2 keeps the tokens with a surprise of at most mu,
  // and always the likeliest.
  void Truncate(Distribution* distribution);

  // Updates mu after `id` was sampled from the distribution that Truncate
  // changed.
  void Update(int32_t id, Distribution* distribution);

  double mu() const { return mu_; }
  // Continues from another sampler's progress.
  void set_mu(double mu) { mu_ = mu; }

 private:
  const MirostatParams params_;
  double mu_;
  double log_sum_ = 0;  // ln of the sum of weights before truncation
  std::vector<TokenLogprob> likeliest_;  // scratch
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_MIROSTAT_H_
