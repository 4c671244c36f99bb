// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/mirostat.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/sampling/truncation.h"

namespace rwkvd {
namespace {

// The number of likeliest tokens that s is fitted to.
constexpr int64_t kNumFitted = 100;

constexpr double kLn2 = 0x1.62e42fefa39efp-1;

}  // namespace

double ZipfExponent(absl::Span<const TokenLogprob> likeliest) {
  double products = 0;
  double squares = 0;
  for (size_t i = 1; i < likeliest.size(); ++i) {
    const double t = std::log1p(1 / static_cast<double>(i));
    const double b = likeliest[i - 1].logprob - likeliest[i].logprob;
    products += t * b;
    squares += t * t;
  }
  return squares > 0 ? products / squares : 1;
}

int64_t NumForSurprise(double s, double mu, int64_t n) {
  if (n <= 1) return 1;
  const double e = s - 1;
  const double log_n = std::log(static_cast<double>(n));
  // e / (1 - n^-e), and its limit for s = 1.
  const double factor =
      std::abs(e) < 1e-9 ? 1 / log_n : e / -std::expm1(-e * log_n);
  const double k = std::pow(factor * std::exp2(mu), 1 / s);
  if (!(k >= 1)) return 1;
  return k < static_cast<double>(n) ? std::llround(k) : n;
}

Mirostat::Mirostat(const MirostatParams& params)
    : params_(params), mu_(2 * double{params.tau}) {}

void Mirostat::Truncate(Distribution* distribution) {
  RWKVD_CHECK(distribution->is_whole());
  log_sum_ = std::log(distribution->Sum());
  if (params_.version == 1) {
    distribution->Likeliest(kNumFitted, &likeliest_);
    const int64_t n = static_cast<int64_t>(distribution->logits().size());
    KeepTopK(NumForSurprise(ZipfExponent(likeliest_), mu_, n), distribution);
  } else {
    const double lowest = distribution->reference() +
                          (log_sum_ - mu_ * kLn2) / distribution->scale();
    distribution->KeepAtLeast(
        std::min(FloatBelow(lowest), distribution->reference()));
  }
}

void Mirostat::Update(int32_t id, Distribution* distribution) {
  const double logprob = distribution->LogProbability(id) +
                         std::log(distribution->Sum()) - log_sum_;
  const double surprise = -logprob / kLn2;
  mu_ -= params_.eta * (surprise - params_.tau);
}

}  // namespace rwkvd
