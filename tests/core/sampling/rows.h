// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_SAMPLING_ROWS_H_
#define RWKVD_TESTS_CORE_SAMPLING_ROWS_H_

// Rows of logits and expected results for tests of samplers.

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

// Returns the logits of tokens with these odds; -infinity for 0.
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

// Returns the ids that `keep` keeps of a row. Applies it to the whole row and
// to the list of its candidates; returns {-1} if the results differ.
template <typename Keep>
std::vector<int32_t> Left(const std::vector<float>& logits, Keep keep,
                          double scale = 1) {
  Distribution whole;
  whole.Reset(logits, scale);
  keep(&whole);
  Distribution listed;
  listed.Reset(logits, scale);
  listed.candidates();
  keep(&listed);
  std::vector<int32_t> ids = IdsOf(&whole);
  return ids == IdsOf(&listed) ? ids : std::vector<int32_t>{-1};
}

// Returns a random row, from flat to dominated by one token, with or without
// ties, and with some logits that are NaN or -infinity.
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

// Returns the ids of finite logits, likeliest first; of equal logits, the lower
// id comes first.
inline std::vector<int32_t> Ranked(const std::vector<float>& logits) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isfinite(logits[id])) ids.push_back(id);
  }
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ids;
}

// Returns the probabilities of `ids`, normalized to a sum of 1.
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
