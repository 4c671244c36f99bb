// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_SAMPLING_ROWS_H_
#define RWKVD_TESTS_CORE_SAMPLING_ROWS_H_

// Rows of logits for tests of samplers, and what is left of them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/sampling/distribution.h"

namespace rwkvd::testing {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits of tokens that are as likely as `odds` say; never drawn for 0.
inline std::vector<float> LogitsOf(const std::vector<double>& odds) {
  std::vector<float> logits;
  for (const double odd : odds) {
    logits.push_back(odd == 0 ? -kInfinity : std::log(odd));
  }
  return logits;
}

inline std::vector<int32_t> IdsOf(Distribution* distribution) {
  std::vector<int32_t> ids;
  for (const Candidate& candidate : distribution->candidates()) {
    ids.push_back(candidate.id);
  }
  return ids;
}

// What `keep` leaves of a row: of the whole row, and of its candidates written
// down, which must be the same.
template <typename Keep>
std::vector<int32_t> Left(const std::vector<float>& logits, Keep keep,
                          double scale = 1) {
  Distribution whole;
  whole.Begin(logits, scale);
  keep(&whole);
  Distribution written;
  written.Begin(logits, scale);
  written.candidates();
  keep(&written);
  std::vector<int32_t> ids = IdsOf(&whole);
  return ids == IdsOf(&written) ? ids : std::vector<int32_t>{-1};
}

// From rows where one token has it all to flat ones, with and without ties and
// logits that are none.
inline std::vector<float> RandomRow(std::mt19937& random, size_t size) {
  const float spread = std::exp2(static_cast<int>(random() % 9) - 4);
  const bool ties = random() % 2 == 0;
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = ties ? std::round(normal(random)) : normal(random);
    if (random() % 20 == 0) logit = random() % 2 == 0 ? kNan : -kInfinity;
  }
  logits[random() % size] = 0;
  return logits;
}

// The finite ones, likeliest first, the lower id first of two alike.
inline std::vector<int32_t> Ranked(const std::vector<float>& logits) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isfinite(logits[id])) ids.push_back(id);
  }
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ids;
}

// Probabilities of `ids` among themselves.
inline std::vector<long double> ProbabilitiesOf(
    const std::vector<int32_t>& ids, const std::vector<float>& logits,
    long double scale = 1) {
  long double largest = -kInfinity;
  for (const int32_t id : ids) {
    largest = std::max<long double>(largest, logits[id]);
  }
  std::vector<long double> probabilities;
  for (const int32_t id : ids) {
    probabilities.push_back(std::exp((logits[id] - largest) * scale));
  }
  const long double sum =
      std::accumulate(probabilities.begin(), probabilities.end(), 0.0L);
  for (long double& p : probabilities) p /= sum;
  return probabilities;
}

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_CORE_SAMPLING_ROWS_H_
